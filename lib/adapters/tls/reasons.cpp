// SPDX-License-Identifier: Apache-2.0
// What OpenSSL found wrong, for a person.
#include <fmt/core.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <ctime>

#include "adapters/tls/openssl.hpp"
#include "adapters/tls/tls.hpp"

namespace umbra::tls {
namespace {

/// What the other side's last alert says of this side.
std::string alert_words(int alert) {
  switch (alert) {
    case SSL_AD_CERTIFICATE_EXPIRED:
      return "this side's certificate has expired";
    case SSL_AD_CERTIFICATE_REVOKED:
      return "this side's certificate is revoked";
    case SSL_AD_UNKNOWN_CA:
      return "this side's certificate is of a CA that the other side does not know";
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_UNKNOWN:
      return "this side's certificate is not valid there: it is of another name, another time or another purpose";
    case SSL_AD_CERTIFICATE_REQUIRED:
      return "the other side asks for a certificate, and this side has none";
    case SSL_AD_PROTOCOL_VERSION:
      return "the two have no version of TLS in common: TLS 1.3 alone is spoken";
    case SSL_AD_HANDSHAKE_FAILURE:
      return "the other side has no such key, or uses certificates where this side uses a key, or the other way round";
    case SSL_AD_DECRYPT_ERROR:
    case SSL_AD_ILLEGAL_PARAMETER:
      return "the two have different keys";
    default:
      return fmt::format("the other side refuses: {}", SSL_alert_desc_string_long(alert));
  }
}

std::string verify_words(long result) {
  std::string words = X509_verify_cert_error_string(result);
  if (result == X509_V_ERR_UNABLE_TO_GET_CRL) words += ": the file of revocations needs a list of each CA above it";
  return words;
}

std::string reason_words(unsigned long error, SSL* connection, Role role) {
  if (ERR_GET_LIB(error) != ERR_LIB_SSL) return {};
  const int reason = ERR_GET_REASON(error);
  if (reason >= SSL_AD_REASON_OFFSET) return alert_words(reason - SSL_AD_REASON_OFFSET);
  switch (reason) {
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
      return fmt::format("the {}'s certificate: {}", role == Role::client ? "server" : "client",
                         verify_words(SSL_get_verify_result(connection)));
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
      return "the client has no certificate";
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_WRONG_SSL_VERSION:
      return "it speaks an older TLS: TLS 1.3 alone is spoken";
    case SSL_R_HTTP_REQUEST:
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
    case SSL_R_RECORD_LENGTH_MISMATCH:
      return "it does not speak TLS";
    case SSL_R_BINDER_DOES_NOT_VERIFY:
      return "the two have different keys under one identity";
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
    case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS:
    case SSL_R_NO_CERTIFICATE_SET:
      return "the client's key is not known here, or it uses certificates";
    case SSL_R_UNEXPECTED_EOF_WHILE_READING:
      return "it hung up";
    default:
      return {};
  }
}

std::string time_text(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return "a time that can't be read";
  return base::to_rfc3339(base::Instant(std::chrono::seconds(::timegm(&parts))));
}

std::string text_of(const ASN1_STRING* value) {
  const auto* bytes = reinterpret_cast<const char*>(ASN1_STRING_get0_data(value));
  return {bytes, static_cast<std::size_t>(ASN1_STRING_length(value))};
}

std::string common_name(const X509* certificate) {
  const X509_NAME* subject = X509_get_subject_name(certificate);
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  return at < 0 ? "" : text_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
}

}  // namespace

std::string last_words(const char* otherwise) {
  const unsigned long error = ERR_get_error();
  ERR_clear_error();
  if (error == 0) return otherwise;
  if (ERR_SYSTEM_ERROR(error)) return std::error_code(ERR_GET_REASON(error), std::generic_category()).message();
  const char* reason = ERR_reason_error_string(error);
  return reason == nullptr ? otherwise : reason;
}

void fail(const std::string& what, const std::string& hint) {
  throw base::Error(base::Kind::invalid, fmt::format("{}: {}", what, last_words("OpenSSL gives no reason")), hint);
}

std::string why_refused(ssl_st* connection, Role role) {
  const std::string words = reason_words(ERR_peek_error(), connection, role);
  const std::string raw = last_words("it hung up");
  return words.empty() ? raw : words;
}

std::string own_problem(ssl_st* connection) {
  const X509* own = SSL_get_certificate(connection);
  if (own == nullptr) return {};
  if (X509_cmp_current_time(X509_get0_notAfter(own)) < 0) return "it expired on " + time_text(X509_get0_notAfter(own));
  if (X509_cmp_current_time(X509_get0_notBefore(own)) > 0)
    return "it is not valid before " + time_text(X509_get0_notBefore(own));
  return {};
}

std::vector<std::string> names_of_peer(ssl_st* connection) {
  const X509* peer = SSL_get0_peer_certificate(connection);
  std::vector<std::string> names;
  const auto add = [&](std::string name) {
    if (!name.empty() && std::ranges::find(names, name) == names.end()) names.push_back(std::move(name));
  };
  if (const auto* key = static_cast<const SharedKey*>(SSL_get_ex_data(connection, 0))) add(key->identity);
  if (peer == nullptr) return names;
  const std::unique_ptr<GENERAL_NAMES, decltype(&GENERAL_NAMES_free)> all(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(peer, NID_subject_alt_name, nullptr, nullptr)), &GENERAL_NAMES_free);
  for (int i = 0; i < sk_GENERAL_NAME_num(all.get()); ++i) {
    int type = 0;
    const void* value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(all.get(), i), &type);
    if (type == GEN_DNS || type == GEN_EMAIL || type == GEN_URI) add(text_of(static_cast<const ASN1_STRING*>(value)));
  }
  if (!all) add(common_name(peer));  // of certificates without names of their own kind
  return names;
}

std::optional<base::Instant> certificate_end(const model::TlsFiles& files) {
  if (files.cert.empty()) return std::nullopt;
  ERR_clear_error();
  const std::unique_ptr<BIO, decltype(&BIO_free)> file(BIO_new_file(files.cert.c_str(), "r"), &BIO_free);
  const CertificateHandle own(file ? PEM_read_bio_X509(file.get(), nullptr, nullptr, nullptr) : nullptr);
  if (!own) fail("read the certificate in " + files.cert);
  std::tm parts{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(own.get()), &parts) != 1) fail("read when " + files.cert + " ends");
  return base::Instant(std::chrono::seconds(::timegm(&parts)));
}

}  // namespace umbra::tls
