// SPDX-License-Identifier: Apache-2.0
#include "model/units.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <utility>

namespace umbra::model {
namespace {

using Unit = std::pair<std::string_view, double>;

constexpr double kibi = 1024;
constexpr std::array<Unit, 17> byte_units{{
    {"B", 1},
    {"K", kibi},
    {"KiB", kibi},
    {"kB", 1e3},
    {"KB", 1e3},
    {"M", kibi* kibi},
    {"MiB", kibi* kibi},
    {"MB", 1e6},
    {"G", kibi* kibi* kibi},
    {"GiB", kibi* kibi* kibi},
    {"GB", 1e9},
    {"T", kibi* kibi* kibi* kibi},
    {"TiB", kibi* kibi* kibi* kibi},
    {"TB", 1e12},
    {"P", kibi* kibi* kibi* kibi* kibi},
    {"PiB", kibi* kibi* kibi* kibi* kibi},
    {"PB", 1e15},
}};
constexpr std::array<Unit, 5> bit_units{{{"bit", 1}, {"kbit", 1e3}, {"Mbit", 1e6}, {"Gbit", 1e9}, {"Tbit", 1e12}}};

/// A number, blanks, one of `units`; the number in the unit's base.
template <std::size_t N>
std::optional<double> parse_with(std::string_view text, const std::array<Unit, N>& units) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  if (error != std::errc{} || value < 0 || !std::isfinite(value)) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  while (text.starts_with(' ')) text.remove_prefix(1);
  for (const auto& [name, factor] : units) {
    if (text == name) return value * factor;
  }
  return std::nullopt;
}

}  // namespace

std::optional<ByteCount> parse_size(std::string_view text) {
  if (text == "0") return ByteCount{0};
  const auto bytes = parse_with(text, byte_units);
  if (!bytes || *bytes >= 0x1p63) return std::nullopt;
  return ByteCount{static_cast<std::uint64_t>(std::llround(*bytes))};
}

std::optional<ByteRate> parse_rate(std::string_view text) {
  if (!text.ends_with("/s")) return std::nullopt;
  text.remove_suffix(2);
  auto bytes = parse_with(text, byte_units);
  if (!bytes) {
    bytes = parse_with(text, bit_units);
    if (bytes) *bytes /= 8;
  }
  if (!bytes || *bytes <= 0) return std::nullopt;
  return ByteRate{*bytes};
}

std::string to_human(ByteCount size) {
  constexpr std::array names{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  auto value = static_cast<double>(size.value);
  std::size_t unit = 0;
  while (value >= kibi && unit + 1 < names.size()) {
    value /= kibi;
    ++unit;
  }
  return fmt::format("{:.4g} {}", value, names[unit]);
}

std::string to_human(ByteRate rate) {
  return to_human(ByteCount{static_cast<std::uint64_t>(std::llround(std::max(rate.value, 0.0)))}) + "/s";
}

}  // namespace umbra::model
