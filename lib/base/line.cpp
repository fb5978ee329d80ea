// SPDX-License-Identifier: Apache-2.0
#include "base/line.hpp"

#include <poll.h>

#include "base/fd.hpp"

namespace umbra::base {

std::size_t FdLine::read_full(std::span<std::byte> buffer) {
  return base::read_full(m_in, buffer, "the stream", m_cancel);
}

void FdLine::write_all(std::span<const std::byte> data) {
  base::write_all(m_out, data, {}, "the stream", m_cancel);
}

void FdLine::write_both(std::span<const std::byte> first, std::span<const std::byte> second) {
  base::write_all(m_out, first, second, "the stream", m_cancel);
}

bool FdLine::ready_within(Millis most) const {
  return base::ready_within(m_in, POLLIN, most, m_cancel);
}

}  // namespace umbra::base
