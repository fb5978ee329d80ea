// SPDX-License-Identifier: Apache-2.0
#pragma once
// Frames over a descriptor: the preamble, checksums, sequence and bounds of FORMAT.md. Knows no meaning.

#include <chrono>
#include <optional>
#include <string_view>

#include "adapters/stream/format.hpp"
#include "adapters/stream/wire.hpp"
#include "base/line.hpp"
#include "model/ids.hpp"

namespace umbra::stream {

/// Gathers frames and writes them in large pieces; flush() before waiting for an answer. The descriptor, or the line,
/// is the caller's.
class FrameWriter {
 public:
  explicit FrameWriter(int fd) : m_own(-1, fd) {}
  explicit FrameWriter(base::Line& line) : m_own(-1, -1), m_line(&line) {}
  void preamble(StreamKind kind);
  /// `head` and `tail` together are the payload.
  void frame(FrameType type, std::span<const std::byte> head, std::span<const std::byte> tail = {});
  void frame(FrameType type, std::string_view payload);
  void flush();
  model::ByteCount written() const { return m_written; }
  /// Time spent in writing.
  std::chrono::duration<double> blocked() const { return m_blocked; }

 private:
  /// Writes what was gathered, then `more`.
  void write_out(std::span<const std::byte> more);
  base::Line& line() { return m_line == nullptr ? m_own : *m_line; }
  base::FdLine m_own;
  base::Line* m_line = nullptr;
  std::chrono::duration<double> m_blocked{0};
  Bytes m_buffer;
  std::uint32_t m_sequence = 0;
  model::ByteCount m_written;
};

/// Makes room in a pipe for several blocks, so that its two ends don't work by turns. What is no pipe, or may not grow,
/// stays.
void widen_pipe(int fd) noexcept;

struct Frame {
  FrameType type = FrameType::abort;
  std::span<const std::byte> payload;  ///< good until the next read
  std::string_view text() const { return {reinterpret_cast<const char*>(payload.data()), payload.size()}; }
};

/// Kind::corrupt for torn or damaged bytes, Kind::unsupported for another version.
class FrameReader {
 public:
  explicit FrameReader(int fd, const base::CancelToken* cancel = nullptr) : m_own(fd, -1, cancel) {}
  explicit FrameReader(base::Line& line) : m_own(-1, -1), m_line(&line) {}
  void preamble(StreamKind kind);
  /// Nothing where the input ends between two frames.
  std::optional<Frame> next();
  /// An end of input is Kind::corrupt here.
  Frame require();
  /// Hands over what the last frame's payload lies in, where it stays good, and takes `other` for the next.
  void swap_payload(Bytes& other) { m_payload.swap(other); }
  /// Whether next() would find something without waiting: a frame's beginning, or the end.
  bool ready() const { return ready_within(base::Millis{0}); }
  bool ready_within(base::Millis most) const {
    return m_line == nullptr ? m_own.ready_within(most) : m_line->ready_within(most);
  }

 private:
  /// The next bytes, `size` of them or as many as there are; good until the next call for the same buffer.
  std::span<const std::byte> fill(Bytes& buffer, std::size_t size);
  base::Line& line() { return m_line == nullptr ? m_own : *m_line; }
  base::FdLine m_own;
  base::Line* m_line = nullptr;
  Bytes m_header;
  Bytes m_payload;
  std::uint32_t m_sequence = 0;
};

}  // namespace umbra::stream
