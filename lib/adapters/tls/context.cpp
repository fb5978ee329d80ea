// SPDX-License-Identifier: Apache-2.0
// What both ends agree on before the first byte: TLS 1.3 alone, and certificates of one CA or a key that both have.
#include <fmt/core.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include <algorithm>
#include <span>

#include "adapters/tls/openssl.hpp"
#include "adapters/tls/tls.hpp"

namespace umbra::tls {
namespace {

using base::Error;
using base::Kind;

constexpr std::size_t read_buffer = 128u << 10;  // several records by one read; the most that is held undecrypted

void check(long result, const std::string& what, const std::string& hint = {}) {
  if (result != 1) fail(what, hint);
}

/// A key under a pass phrase would ask for it on the terminal.
int no_pass_phrase(char*, int, int, void*) noexcept {
  return -1;
}

Context& context_of(SSL* connection) noexcept {
  return *static_cast<Context*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(connection), 0));
}

/// The session that stands for a key: TLS 1.3 takes keys from outside as it takes up a session.
SSL_SESSION* session_of(SSL* connection, const SharedKey& key) noexcept {
  constexpr unsigned char aes_128_gcm_sha256[] = {0x13, 0x01};  // a key is tied to a digest, which is SHA-256's
  const SSL_CIPHER* cipher = SSL_CIPHER_find(connection, aes_128_gcm_sha256);
  SSL_SESSION* session = SSL_SESSION_new();
  const bool made = session != nullptr && cipher != nullptr &&
                    SSL_SESSION_set1_master_key(session, key.key.data(), key.key.size()) == 1 &&
                    SSL_SESSION_set_cipher(session, cipher) == 1 &&
                    SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION) == 1;
  if (made) return session;
  SSL_SESSION_free(session);
  return nullptr;
}

int use_key(SSL* connection, const EVP_MD* digest, const unsigned char** identity, std::size_t* length,
            SSL_SESSION** session) noexcept {
  *session = nullptr;
  const SharedKey& key = context_of(connection).keys.front();
  if (digest != nullptr && EVP_MD_get_type(digest) != NID_sha256) return 1;  // a second try, for another digest: none
  *session = session_of(connection, key);
  *identity = reinterpret_cast<const unsigned char*>(key.identity.data());
  *length = key.identity.size();
  return *session == nullptr ? 0 : 1;
}

int find_key(SSL* connection, const unsigned char* identity, std::size_t length, SSL_SESSION** session) noexcept {
  *session = nullptr;
  for (const SharedKey& key : context_of(connection).keys) {
    if (!std::equal(key.identity.begin(), key.identity.end(), identity, identity + length)) continue;
    *session = session_of(connection, key);
    SSL_set_ex_data(connection, 0, const_cast<SharedKey*>(&key));  // who it is
    return *session == nullptr ? 0 : 1;
  }
  return 1;  // unknown: with no certificate to fall back to, the handshake fails
}

void use_keys(SSL_CTX* handle, Role role) {
  check(SSL_CTX_set_ciphersuites(handle, "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256"), "choose ciphers");
  if (role == Role::server) {
    SSL_CTX_set_psk_find_session_callback(handle, find_key);  // it has no certificate that it could fall back to
    return;
  }
  SSL_CTX_set_psk_use_session_callback(handle, use_key);
  SSL_CTX_set_verify(handle, SSL_VERIFY_PEER, nullptr);  // no CA is known: a certificate in the key's place is refused
}

void use_revocations(SSL_CTX* handle, const std::string& crl) {
  X509_STORE* store = SSL_CTX_get_cert_store(handle);
  X509_LOOKUP* lookup = X509_STORE_add_lookup(store, X509_LOOKUP_file());
  if (lookup == nullptr || X509_load_crl_file(lookup, crl.c_str(), X509_FILETYPE_PEM) <= 0)
    fail(fmt::format("read the revocations in {}", crl), "it holds the CA's list in PEM: openssl crl -in FILE -text");
  check(X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL), "ask for revocations");
}

void use_certificates(SSL_CTX* handle, const model::TlsFiles& files, Role role) {
  check(SSL_CTX_set_ciphersuites(handle, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"),
        "choose ciphers");
  check(SSL_CTX_load_verify_file(handle, files.ca.c_str()), fmt::format("read the CA in {}", files.ca),
        "it holds certificates in PEM");
  check(SSL_CTX_use_certificate_chain_file(handle, files.cert.c_str()),
        fmt::format("read the certificate in {}", files.cert), "it holds the own certificate in PEM, then its issuers");
  check(SSL_CTX_use_PrivateKey_file(handle, files.key.c_str(), SSL_FILETYPE_PEM),
        fmt::format("read the key in {}", files.key),
        "it holds the key of that certificate in PEM, without a pass phrase");
  check(SSL_CTX_check_private_key(handle), fmt::format("{} is not the key of {}", files.key, files.cert));
  if (!files.crl.empty()) use_revocations(handle, files.crl);
  SSL_CTX_set_verify(handle, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  if (role == Role::server) SSL_CTX_set_client_CA_list(handle, SSL_load_client_CA_file(files.ca.c_str()));
}

}  // namespace

void FreeHandle::operator()(ssl_ctx_st* handle) const noexcept {
  SSL_CTX_free(handle);
}
void FreeHandle::operator()(ssl_st* handle) const noexcept {
  SSL_free(handle);
}
void FreeHandle::operator()(x509_st* handle) const noexcept {
  X509_free(handle);
}

std::unique_ptr<Context> make_context(const model::TlsFiles& files, Role role) {
  ERR_clear_error();
  auto context = std::make_unique<Context>();
  if (!files.key_file.empty()) context->keys = read_key_file(files.key_file);
  context->own_certificate = files.cert;
  context->handle.reset(SSL_CTX_new(TLS_method()));
  SSL_CTX* handle = context->handle.get();
  if (handle == nullptr) fail("set up TLS");
  check(SSL_CTX_set_min_proto_version(handle, TLS1_3_VERSION), "ask for TLS 1.3");
  check(SSL_CTX_set_ex_data(handle, 0, context.get()), "set up TLS");
  SSL_CTX_set_default_passwd_cb(handle, no_pass_phrase);
  // No session is taken up again. A ticket would also look like news of the far end where there is none.
  SSL_CTX_set_session_cache_mode(handle, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(handle, 0);
  SSL_CTX_set_mode(handle, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_read_ahead(handle, 1);
  SSL_CTX_set_default_read_buffer_len(handle, read_buffer);
  if (context->keys.empty())
    use_certificates(handle, files, role);
  else
    use_keys(handle, role);
  return context;
}

void check_complete(const model::TlsFiles& files, const std::string& how_to_give) {
  if (!files.complete())
    throw Error(Kind::usage, "TLS takes either a CA with an own certificate and its key, or a key file", how_to_give);
}

void check_files(const model::TlsFiles& files) {
  make_context(files, Role::server);
}

}  // namespace umbra::tls
