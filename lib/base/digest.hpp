// SPDX-License-Identifier: Apache-2.0
#pragma once
// SHA-256 digests of blocks and manifests.

#include <array>
#include <compare>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace umbra::base {

struct Digest {
  std::array<std::byte, 32> bytes{};
  auto operator<=>(const Digest&) const = default;
  /// "sha256:" and 64 hexadecimal digits.
  std::string to_string() const;
  /// The inverse of to_string(); nothing where `text` has another form.
  static std::optional<Digest> parse(std::string_view text);
};

/// The digest of `data` in one call.
Digest sha256(std::span<const std::byte> data);

/// The digest of each message, in order. Where several neighbours have one length, and the processor can, they are
/// computed side by side: in half the time.
void sha256_each(std::span<const std::span<const std::byte>> messages, std::span<Digest> digests);

/// The digest of data that come in pieces.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  void update(std::span<const std::byte> data);
  void update(std::string_view text);
  /// Ends the computation; the object can't be used any more.
  Digest finish();

 private:
  struct Context;
  std::unique_ptr<Context> m_context;
};

/// Whether every byte is zero.
bool all_zero(std::span<const std::byte> data);

}  // namespace umbra::base
