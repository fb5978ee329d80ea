// SPDX-License-Identifier: Apache-2.0
#include "adapters/nbd/checked_line.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <span>

#include "base/digest.hpp"
#include "base/error.hpp"

namespace umbra::nbd {
namespace {

using nlohmann::json;

/// Of the line with its end.
std::string digest_of(const std::string& line) {
  return base::sha256(std::as_bytes(std::span(line))).to_string();
}

}  // namespace

std::string with_digest(const std::string& line) {
  const std::string whole = line + "\n";
  return whole + json(digest_of(whole)).dump() + "\n";
}

std::string checked_line(const std::string& text) {
  const std::size_t end = std::min(text.find('\n'), text.size() - 1) + 1;
  std::string line = text.substr(0, end);
  const std::string sum = text.substr(end);
  if (!sum.empty() && json::parse(sum, nullptr, false) != digest_of(line))
    throw base::Error(base::Kind::corrupt, "it does not match its own digest");
  return line;
}

}  // namespace umbra::nbd
