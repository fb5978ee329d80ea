// SPDX-License-Identifier: Apache-2.0
#include "adapters/virt/keepalive.hpp"

#include <algorithm>
#include <charconv>

#include "base/error.hpp"
#include "base/fd.hpp"

namespace umbra::virt {
namespace {

constexpr std::string_view blank = " \t\r";

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(blank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blank) - first + 1);
}

/// "key = 7", with a comment after it or none; nothing for any other line.
std::optional<int> value_of(std::string_view line, std::string_view key) {
  const auto equals = line.find('=');
  if (equals == std::string_view::npos || trimmed(line.substr(0, equals)) != key) return std::nullopt;
  const std::string_view text = trimmed(line.substr(equals + 1));
  int value = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), value).ec != std::errc()) return std::nullopt;
  return value;
}

KeepaliveFile read(const std::filesystem::path& file) {
  KeepaliveFile result{file.filename().string(), std::nullopt, {}};
  try {
    std::error_code failed;
    const bool there = std::filesystem::exists(file, failed);
    if (failed) throw base::from_errno(failed.value(), "look at " + file.string());
    result.set = there ? keepalive_in(base::read_text_file(file)) : Keepalive{};
  } catch (const base::Error& e) {
    result.why_not = e.what();
  }
  return result;
}

}  // namespace

std::optional<base::Seconds> Keepalive::gives_up_after() const {
  if (interval_s <= 0) return std::nullopt;
  return base::Seconds(static_cast<double>(interval_s) * (std::max(count, 0) + 1.0));
}

Keepalive keepalive_in(std::string_view text) {
  Keepalive found;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    found.interval_s = value_of(line, "keepalive_interval").value_or(found.interval_s);
    found.count = value_of(line, "keepalive_count").value_or(found.count);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return found;
}

std::vector<KeepaliveFile> keepalive_files(const std::filesystem::path& etc, const std::filesystem::path& run) {
  std::error_code absent;
  std::vector<KeepaliveFile> files{read(etc / "qemu.conf")};
  if (std::filesystem::exists(run / "virtqemud-sock", absent)) {
    files.push_back(read(etc / "virtqemud.conf"));
    files.push_back(read(etc / "virtproxyd.conf"));
  } else {
    files.push_back(read(etc / "libvirtd.conf"));
  }
  return files;
}

}  // namespace umbra::virt
