// SPDX-License-Identifier: Apache-2.0
#include "adapters/stream/frame.hpp"

#include <fcntl.h>
#include <fmt/core.h>

#include <algorithm>

#include "adapters/stream/crc32c.hpp"

namespace umbra::stream {
namespace {

using base::Error;
using base::Kind;

constexpr std::size_t write_piece = 256u << 10;
constexpr std::size_t not_gathered = 32u << 10;  // a call costs less than another copy of so much
constexpr int pipe_size = 1 << 20;               // the most that a process without privileges may ask for
constexpr std::size_t read_piece = 1u << 20;     // memory grows with what came, not with what a length announces

[[noreturn]] void corrupt(const std::string& what) {
  throw Error(Kind::corrupt, what, "run the pass again; if it happens again, look at what carries the stream");
}

/// The first bytes as far as they can be shown: a shell's greeting is the usual cause of a wrong beginning.
std::string shown(std::span<const std::byte> data) {
  std::string text;
  for (const std::byte b : data) {
    const char c = static_cast<char>(b);
    text += c >= 32 && c < 127 ? c : '.';
  }
  return text;
}

}  // namespace

void widen_pipe(int fd) noexcept {
  ::fcntl(fd, F_SETPIPE_SZ, pipe_size);
}

void FrameWriter::preamble(StreamKind kind) {
  Bytes bytes;
  put(bytes, std::as_bytes(std::span(magic)));
  put(bytes, version);
  put(bytes, static_cast<std::uint16_t>(kind));
  put(bytes, crc32c(bytes));
  put(m_buffer, bytes);
}

void FrameWriter::frame(FrameType type, std::span<const std::byte> head, std::span<const std::byte> tail) {
  const std::size_t length = head.size() + tail.size();
  const Bounds bounds = payload_bounds(type);
  if (length < bounds.least || length > bounds.most)
    throw Error(Kind::invalid, fmt::format("{} bytes are too many for one frame of the stream", length));
  Bytes header;
  header.reserve(frame_header_size);
  put(header, static_cast<std::uint16_t>(type));
  put(header, std::uint16_t{0});
  put(header, static_cast<std::uint32_t>(length));
  put(header, m_sequence++);
  put(header, crc32c(tail, crc32c(head, crc32c(header))));
  put(m_buffer, header);
  put(m_buffer, head);
  if (tail.size() >= not_gathered) return write_out(tail);
  put(m_buffer, tail);
  if (m_buffer.size() >= write_piece) flush();
}

void FrameWriter::frame(FrameType type, std::string_view payload) {
  frame(type, std::as_bytes(std::span(payload.data(), payload.size())));
}

void FrameWriter::flush() {
  if (!m_buffer.empty()) write_out({});
}

void FrameWriter::write_out(std::span<const std::byte> more) {
  // A second try after a failure would send a torn frame again: what is buffered is given up first.
  Bytes out;
  out.swap(m_buffer);
  const auto start = std::chrono::steady_clock::now();
  line().write_both(out, more);
  m_blocked += std::chrono::steady_clock::now() - start;
  m_written += {out.size() + more.size()};
  out.clear();
  m_buffer.swap(out);
}

std::span<const std::byte> FrameReader::fill(Bytes& buffer, std::size_t size) {
  std::size_t done = 0;
  while (done < size) {
    const std::size_t end = std::min(size, done + read_piece);
    if (buffer.size() < end) buffer.resize(end);  // never made smaller: growing again would fill it with zeroes
    const std::size_t n = line().read_full(std::span(buffer).subspan(done, end - done));
    done += n;
    if (done < end) break;
  }
  return std::span<const std::byte>(buffer).first(done);
}

void FrameReader::preamble(StreamKind kind) {
  const std::span<const std::byte> bytes = fill(m_header, preamble_size);
  const std::size_t compared = std::min(bytes.size(), magic.size());
  if (bytes.empty() || !std::equal(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(compared),
                                   std::as_bytes(std::span(magic)).begin()))
    corrupt(bytes.empty() ? "the stream ended before it began"
                          : fmt::format("this is no stream of Umbra's: it begins with \"{}\"", shown(bytes)));
  if (bytes.size() < preamble_size) corrupt("the stream ended within its preamble");
  Cursor cursor(bytes);
  cursor.take(magic.size());
  const auto found_version = cursor.number<std::uint16_t>();
  const auto found_kind = cursor.number<std::uint16_t>();
  if (cursor.number<std::uint32_t>() != crc32c(bytes.first(preamble_size - 4)))
    corrupt("the preamble of the stream is damaged");
  if (found_version != version)
    throw Error(Kind::unsupported,
                fmt::format("the stream is of version {}, this Umbra speaks version {}", found_version, version),
                "install the same version of Umbra on both hosts");
  if (found_kind != static_cast<std::uint16_t>(kind))
    throw Error(
        Kind::invalid,
        fmt::format("the stream is of kind {} where {} is expected", found_kind, static_cast<std::uint16_t>(kind)),
        "1 is a session (umbra receive --session), 2 is one point (umbra receive -)");
}

std::optional<Frame> FrameReader::next() {
  const std::span<const std::byte> header = fill(m_header, frame_header_size);
  if (header.empty()) return std::nullopt;
  if (header.size() < frame_header_size) corrupt("the stream ended within a frame");
  Cursor cursor(header);
  const auto type = static_cast<FrameType>(cursor.number<std::uint16_t>());
  cursor.reserved<std::uint16_t>();
  const std::size_t length = cursor.number<std::uint32_t>();
  const auto sequence = cursor.number<std::uint32_t>();
  const auto checksum = cursor.number<std::uint32_t>();
  const Bounds bounds = payload_bounds(type);
  if (length < bounds.least || length > bounds.most)
    corrupt(fmt::format("the stream announces a frame of type {} with {} bytes", static_cast<unsigned>(type), length));
  const std::span<const std::byte> payload = fill(m_payload, length);
  if (payload.size() < length) corrupt("the stream ended within a frame");
  if (checksum != crc32c(payload, crc32c(header.first(frame_header_size - 4))))
    corrupt("a frame of the stream is damaged");
  if (sequence != m_sequence)
    corrupt(fmt::format("frame {} of the stream came where frame {} was due", sequence, m_sequence));
  ++m_sequence;
  return Frame{type, payload};
}

Frame FrameReader::require() {
  const std::optional<Frame> frame = next();
  if (!frame) corrupt("the stream ended too early");
  return *frame;
}

}  // namespace umbra::stream
