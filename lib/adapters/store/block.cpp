// SPDX-License-Identifier: Apache-2.0
#include "adapters/store/block.hpp"

#include <cmath>
#include <cstdint>

#include "base/error.hpp"

namespace umbra::store {
namespace {

/// A value is a whole number of these; 0.9 and its like come back exactly, which a binary unit would not give.
constexpr double units_per_one = 100000;
constexpr double most_held = 100;
constexpr auto most_units = static_cast<std::uint64_t>(most_held * units_per_one);
/// No slice is as long: 34 years, in milliseconds.
constexpr std::uint64_t longest_offset = 1ull << 40;

enum Flag : std::uint8_t { there = 1, some_missing = 2, with_peaks = 4 };

std::uint64_t units_of(double value) {
  return static_cast<std::uint64_t>(std::llround(value * units_per_one));
}

// Differences are taken modulo 2^64: packing and unpacking wrap alike, and no input makes signed numbers overflow.
std::uint64_t zigzag(std::uint64_t difference) {
  return (difference << 1) ^ (0 - (difference >> 63));
}
std::uint64_t unzigzag(std::uint64_t value) {
  return (value >> 1) ^ (0 - (value & 1));
}

void put_varint(std::string& out, std::uint64_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}

class PackedReader {
 public:
  explicit PackedReader(std::string_view bytes)
      : m_next(reinterpret_cast<const std::uint8_t*>(bytes.data())), m_end(m_next + bytes.size()) {}

  std::uint8_t byte() {
    if (m_next == m_end) fail("it ends too soon");
    return *m_next++;
  }
  std::uint64_t varint() {
    std::uint64_t value = byte();
    if (value < 0x80) return value;
    value &= 0x7f;
    for (unsigned shift = 7; shift < 64; shift += 7) {
      const std::uint64_t next = byte();
      value |= (next & 0x7f) << shift;
      if (next < 0x80) return value;
    }
    fail("a number does not end");
  }
  const std::uint8_t* skip(std::size_t count) {
    if (left() < count) fail("it ends too soon");
    m_next += count;
    return m_next - count;
  }
  std::size_t left() const { return static_cast<std::size_t>(m_end - m_next); }

  [[noreturn]] static void fail(const char* why) {
    throw base::Error(base::Kind::corrupt, std::string("a block of the history is damaged: ") + why);
  }

 private:
  const std::uint8_t* m_next;
  const std::uint8_t* m_end;
};

void pack_times(std::string& out, std::span<const model::Sample> samples, base::Instant start) {
  std::uint64_t before = 0;
  std::uint64_t step = 0;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const auto offset = static_cast<std::uint64_t>((samples[i].at - start).count());
    if (i == 0) {
      put_varint(out, offset);
    } else {
      put_varint(out, zigzag(offset - before - step));
      step = offset - before;
    }
    before = offset;
  }
}

void pack_column(std::string& out, std::span<const model::Sample> samples, std::size_t resource) {
  std::size_t known = 0;
  bool peaks = false;
  for (const model::Sample& sample : samples) {
    if (!sample.values[resource]) continue;
    ++known;
    peaks = peaks || sample.peaks[resource];
  }
  const bool missing = known < samples.size();
  out.push_back(static_cast<char>(known == 0 ? 0 : there | (missing ? some_missing : 0) | (peaks ? with_peaks : 0)));
  if (known == 0) return;
  if (missing) {
    std::string bitmap((samples.size() + 7) / 8, '\0');
    for (std::size_t i = 0; i < samples.size(); ++i) {
      if (samples[i].values[resource]) bitmap[i / 8] = static_cast<char>(bitmap[i / 8] | 1 << i % 8);
    }
    out += bitmap;
  }
  std::uint64_t before = 0;
  for (const model::Sample& sample : samples) {
    if (!sample.values[resource]) continue;
    const std::uint64_t units = units_of(*sample.values[resource]);
    put_varint(out, zigzag(units - before));
    before = units;
  }
  if (!peaks) return;
  for (const model::Sample& sample : samples) {
    if (!sample.values[resource]) continue;
    const std::uint64_t units = units_of(*sample.values[resource]);
    put_varint(out, std::max(units, units_of(sample.peaks[resource].value_or(0))) - units);
  }
}

void unpack_times(PackedReader& in, base::Instant start, std::span<model::Sample> samples) {
  std::uint64_t offset = 0;
  std::uint64_t step = 0;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const std::uint64_t before = offset;
    if (i == 0) {
      offset = in.varint();
    } else {
      step += unzigzag(in.varint());
      offset += step;
    }
    if (offset >= longest_offset || (i > 0 && offset <= before)) PackedReader::fail("its times do not rise");
    samples[i].at = start + base::Millis{offset};
  }
}

double value_of(std::uint64_t units) {
  if (units > most_units) PackedReader::fail("a value is out of range");
  return static_cast<double>(units) / units_per_one;
}

void unpack_column(PackedReader& in, std::size_t resource, std::span<model::Sample> samples) {
  const std::uint8_t flags = in.byte();
  if (flags == 0) return;
  if ((flags & there) == 0 || flags > (there | some_missing | with_peaks)) PackedReader::fail("a column is unknown");
  const std::uint8_t* bitmap = (flags & some_missing) != 0 ? in.skip((samples.size() + 7) / 8) : nullptr;
  std::uint64_t units = 0;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    if (bitmap != nullptr && (bitmap[i / 8] >> i % 8 & 1) == 0) continue;
    units += unzigzag(in.varint());
    samples[i].values[resource] = value_of(units);
  }
  if ((flags & with_peaks) == 0) return;
  for (model::Sample& sample : samples) {
    if (!sample.values[resource]) continue;
    const std::uint64_t above = in.varint();
    if (above > most_units) PackedReader::fail("a peak is out of range");
    if (above > 0) sample.peaks[resource] = value_of(units_of(*sample.values[resource]) + above);
  }
}

}  // namespace

std::optional<double> rounded(double fraction) {
  if (!(fraction >= 0) || !(fraction < most_held)) return std::nullopt;
  return static_cast<double>(units_of(fraction)) / units_per_one;
}

std::string pack(std::span<const model::Sample> samples, base::Instant start) {
  std::string out;
  put_varint(out, samples.size());
  pack_times(out, samples, start);
  for (std::size_t r = 0; r < model::all_resources.size(); ++r) pack_column(out, samples, r);
  return out;
}

void unpack(std::string_view block, base::Instant start, std::vector<model::Sample>& samples) {
  PackedReader in(block);
  const std::uint64_t count = in.varint();
  if (count > in.left())
    PackedReader::fail("it ends too soon");  // each takes a byte at least: no memory is taken for less
  const std::size_t had = samples.size();
  samples.resize(had + count);
  const std::span added = std::span(samples).subspan(had);
  unpack_times(in, start, added);
  for (std::size_t r = 0; r < model::all_resources.size(); ++r) unpack_column(in, r, added);
  if (in.left() != 0) PackedReader::fail("something follows it");
}

}  // namespace umbra::store
