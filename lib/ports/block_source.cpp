// SPDX-License-Identifier: Apache-2.0
#include "ports/block_source.hpp"

namespace umbra::ports {

void BlockSource::read_buffers(std::span<const Range> ranges, const std::function<void(const Range&, Buffer&)>& each) {
  Buffer buffer;
  read(ranges, [&](const Range& range, std::span<const std::byte> bytes) {
    buffer.assign(bytes.begin(), bytes.end());
    each(range, buffer);
  });
}

}  // namespace umbra::ports
