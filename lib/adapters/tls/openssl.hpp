// SPDX-License-Identifier: Apache-2.0
#pragma once
// OpenSSL's handles with their owners, and its errors. Inside this folder only.

#include <memory>
#include <string>
#include <vector>

#include "adapters/tls/key_file.hpp"
#include "base/error.hpp"
#include "model/config.hpp"

struct ssl_ctx_st;
struct ssl_st;
struct x509_st;

namespace umbra::tls {

struct FreeHandle {
  void operator()(ssl_ctx_st* handle) const noexcept;
  void operator()(ssl_st* handle) const noexcept;
  void operator()(x509_st* handle) const noexcept;
};
using ContextHandle = std::unique_ptr<ssl_ctx_st, FreeHandle>;
using ConnectionHandle = std::unique_ptr<ssl_st, FreeHandle>;
using CertificateHandle = std::unique_ptr<x509_st, FreeHandle>;

enum class Role { client, server };

/// What connections are made from. Its address is known to OpenSSL: it stays where it is made.
struct Context {
  Context() = default;
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  std::vector<SharedKey> keys;  ///< empty: certificates are used
  ContextHandle handle;
  std::string own_certificate;  ///< its file
};
std::unique_ptr<Context> make_context(const model::TlsFiles& files, Role role);

/// The oldest entry of OpenSSL's queue, which is emptied, as words; `otherwise` where there is none.
std::string last_words(const char* otherwise);
/// Kind::invalid with OpenSSL's words.
[[noreturn]] void fail(const std::string& what, const std::string& hint = {});

/// Why a handshake failed, in words for a person: what was wrong with the other side's certificate, or what the other
/// side says of this one's. Empties OpenSSL's queue.
std::string why_refused(ssl_st* connection, Role role);
/// What makes the own certificate useless now: "it expired on ..."; empty where nothing does.
std::string own_problem(ssl_st* connection);
/// The names in the other side's certificate, or its key's identity.
std::vector<std::string> names_of_peer(ssl_st* connection);

}  // namespace umbra::tls
