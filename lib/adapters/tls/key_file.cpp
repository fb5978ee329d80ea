// SPDX-License-Identifier: Apache-2.0
#include "adapters/tls/key_file.hpp"

#include <fmt/core.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <set>

#include "base/error.hpp"
#include "base/fd.hpp"
#include "base/text.hpp"

namespace umbra::tls {
namespace {

using base::Error;
using base::Kind;

constexpr std::size_t least_key = 16;
constexpr std::size_t most_key = 256;  // OpenSSL's bound for a pre-shared key
constexpr std::size_t most_identity = 256;
constexpr std::size_t most_file = 1u << 20;
constexpr const char* how = "make one: umask 077; echo \"umbra:$(openssl rand -hex 32)\" > FILE";

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// The line as identity:hex; nothing where it is none.
std::optional<SharedKey> parse_line(std::string_view line) {
  const std::size_t colon = line.rfind(':');
  if (colon == std::string_view::npos || colon == 0 || colon > most_identity) return std::nullopt;
  const auto printable = [](unsigned char c) { return c > 32 && c != 127; };
  const std::string_view hex = line.substr(colon + 1);
  if (!std::ranges::all_of(line.substr(0, colon), printable) || hex.empty() || hex.size() % 2 != 0) return std::nullopt;
  SharedKey key{std::string(line.substr(0, colon)), {}};
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    const int high = digit(hex[i]);
    const int low = digit(hex[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    key.key.push_back(static_cast<unsigned char>(high * 16 + low));
  }
  return key;
}

/// Whether it is text with a colon, which bytes at random are not: then each line is to be a key.
bool is_of_lines(std::string_view content) {
  const auto of_text = [](unsigned char c) { return (c >= 32 && c != 127) || c == '\n' || c == '\r' || c == '\t'; };
  return std::ranges::all_of(content, of_text) && content.find(':') != std::string_view::npos;
}

/// Kind::refused with the number of a line that is no key: one that was meant to be let in, or kept out, is not passed
/// by.
std::vector<SharedKey> parse_lines(std::string_view content, const std::string& path) {
  std::vector<SharedKey> keys;
  for (unsigned number = 1; !content.empty(); ++number) {
    const std::size_t end = std::min(content.find('\n'), content.size());
    std::string_view line = content.substr(0, end);
    content.remove_prefix(std::min(end + 1, content.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    auto key = parse_line(line);
    if (!key)
      throw Error(Kind::refused, fmt::format("line {} of {} is no identity:hex", number, path),
                  "an identity has no blanks, the key an even number of hexadecimal digits");
    keys.push_back(std::move(*key));
  }
  return keys;
}

}  // namespace

std::vector<SharedKey> parse_keys(std::string_view content, const std::string& path) {
  std::vector<SharedKey> keys;
  if (is_of_lines(content))
    keys = parse_lines(content, path);
  else
    keys.push_back({"umbra", {content.begin(), content.end()}});
  std::set<std::string> seen;
  for (const SharedKey& key : keys) {
    if (key.key.size() < least_key || key.key.size() > most_key)
      throw Error(
          Kind::refused,
          fmt::format("a key in {} has {} bytes, {} to {} are taken", path, key.key.size(), least_key, most_key), how);
    if (!seen.insert(key.identity).second)
      throw Error(Kind::refused, fmt::format("{} holds two keys of {}", path, key.identity), how);
  }
  return keys;
}

std::vector<SharedKey> read_key_file(const std::string& path) {
  struct stat seen {};
  if (::stat(path.c_str(), &seen) != 0) {
    const int number = errno;
    base::Error error = base::from_errno(number, fmt::format("look at {}", path));
    if (number == ENOENT) error.set_hint(how);
    throw error;
  }
  if (!S_ISREG(seen.st_mode)) throw Error(Kind::refused, fmt::format("{} is no file of keys", path), how);
  if ((seen.st_mode & (S_IRWXG | S_IRWXO)) != 0)
    throw Error(Kind::refused, fmt::format("{} can be read by others than its owner", path),
                fmt::format("chmod 600 {}", base::shell_word(path)));
  return parse_keys(base::read_text_file(path, most_file), path);
}

}  // namespace umbra::tls
