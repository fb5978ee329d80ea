// SPDX-License-Identifier: Apache-2.0
#include "base/digest.hpp"

#include <openssl/evp.h>

#include <cstring>

#include "base/error.hpp"
#include "base/sha256_lanes.hpp"

namespace umbra::base {
namespace {

constexpr std::string_view algorithm_prefix = "sha256:";
constexpr std::string_view hex_digits = "0123456789abcdef";

void check(int ok) {
  if (ok != 1) throw Error(Kind::internal, "OpenSSL could not compute a SHA-256 digest");
}

/// Looked up once: each look-up takes locks and costs as much as hashing a kilobyte.
const EVP_MD* algorithm() {
  static const std::unique_ptr<EVP_MD, decltype(&EVP_MD_free)> found(EVP_MD_fetch(nullptr, "SHA256", nullptr),
                                                                     &EVP_MD_free);
  check(found != nullptr);
  return found.get();
}

}  // namespace

std::string Digest::to_string() const {
  std::string text(algorithm_prefix);
  for (const std::byte b : bytes) {
    text += hex_digits[std::to_integer<unsigned>(b) >> 4];
    text += hex_digits[std::to_integer<unsigned>(b) & 15];
  }
  return text;
}

std::optional<Digest> Digest::parse(std::string_view text) {
  if (!text.starts_with(algorithm_prefix)) return std::nullopt;
  text.remove_prefix(algorithm_prefix.size());
  Digest digest;
  if (text.size() != 2 * digest.bytes.size()) return std::nullopt;
  for (std::size_t i = 0; i < digest.bytes.size(); ++i) {
    const auto high = hex_digits.find(text[2 * i]);
    const auto low = hex_digits.find(text[2 * i + 1]);
    if (high == std::string_view::npos || low == std::string_view::npos) return std::nullopt;
    digest.bytes[i] = static_cast<std::byte>(high << 4 | low);
  }
  return digest;
}

struct Sha256::Context {
  EVP_MD_CTX* md = EVP_MD_CTX_new();
  ~Context() { EVP_MD_CTX_free(md); }
};

Sha256::Sha256() : m_context(std::make_unique<Context>()) {
  check(m_context->md != nullptr && EVP_DigestInit_ex(m_context->md, algorithm(), nullptr) == 1);
}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::update(std::span<const std::byte> data) {
  check(EVP_DigestUpdate(m_context->md, data.data(), data.size()));
}

void Sha256::update(std::string_view text) {
  update(std::as_bytes(std::span(text.data(), text.size())));
}

Digest Sha256::finish() {
  Digest digest;
  check(EVP_DigestFinal_ex(m_context->md, reinterpret_cast<unsigned char*>(digest.bytes.data()), nullptr));
  m_context.reset();
  return digest;
}

Digest sha256(std::span<const std::byte> data) {
  thread_local const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                                     &EVP_MD_CTX_free);
  Digest digest;
  check(context != nullptr && EVP_DigestInit_ex(context.get(), algorithm(), nullptr) == 1);
  check(EVP_DigestUpdate(context.get(), data.data(), data.size()));
  check(EVP_DigestFinal_ex(context.get(), reinterpret_cast<unsigned char*>(digest.bytes.data()), nullptr));
  return digest;
}

void sha256_each(std::span<const std::span<const std::byte>> messages, std::span<Digest> digests) {
  for (std::size_t first = 0; first < messages.size();) {
    const std::size_t length = messages[first].size();
    std::size_t end = first + 1;
    while (end < messages.size() && end - first < most_lanes && messages[end].size() == length) ++end;
    if (end - first >= lanes_worth_while && length > 0 && length <= longest_in_lanes && has_lanes())
      sha256_in_lanes(messages.subspan(first, end - first), digests.subspan(first, end - first));
    else
      for (std::size_t i = first; i < end; ++i) digests[i] = sha256(messages[i]);
    first = end;
  }
}

bool all_zero(std::span<const std::byte> data) {
  // Comparing the range with itself shifted by one byte lets memcmp use wide loads.
  return data.empty() || (data[0] == std::byte{0} && std::memcmp(data.data(), data.data() + 1, data.size() - 1) == 0);
}

}  // namespace umbra::base
