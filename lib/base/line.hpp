// SPDX-License-Identifier: Apache-2.0
#pragma once
// Bytes that go both ways, in order: a pair of descriptors, or what is laid over them. Whoever frames bytes reads and
// writes through it in large pieces, so that a layer in between costs neither a copy nor a thread.

#include <cstddef>
#include <span>

#include "base/cancel.hpp"
#include "base/clock.hpp"

namespace umbra::base {

class Line {
 public:
  virtual ~Line() = default;
  /// Reads up to buffer.size() bytes; fewer only at the end.
  virtual std::size_t read_full(std::span<std::byte> buffer) = 0;
  virtual void write_all(std::span<const std::byte> data) = 0;
  /// One after the other; in one go where that is cheaper.
  virtual void write_both(std::span<const std::byte> first, std::span<const std::byte> second) {
    write_all(first);
    if (!second.empty()) write_all(second);
  }
  /// Whether read_full would find something without waiting: a byte, or the end.
  bool ready() const { return ready_within(Millis{0}); }
  /// Whether that is so before `most` has passed. False as well where only a part of what it could hand over came.
  virtual bool ready_within(Millis most) const = 0;
  /// Nothing more is written: the other side comes to an end once it has read what was.
  virtual void end() noexcept {}
};

/// Over two descriptors (one, twice, for a socket), which are the caller's. -1 for a way that is not used. Waiting ends
/// by Kind::cancelled once `cancel`, which may be null, is asked for.
class FdLine final : public Line {
 public:
  FdLine(int in, int out, const CancelToken* cancel = nullptr) : m_in(in), m_out(out), m_cancel(cancel) {}
  std::size_t read_full(std::span<std::byte> buffer) override;
  void write_all(std::span<const std::byte> data) override;
  void write_both(std::span<const std::byte> first, std::span<const std::byte> second) override;
  bool ready_within(Millis most) const override;

 private:
  int m_in;
  int m_out;
  const CancelToken* m_cancel;
};

}  // namespace umbra::base
