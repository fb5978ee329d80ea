// SPDX-License-Identifier: Apache-2.0
#include "adapters/nbd/direct_reads.hpp"

#include <fmt/core.h>
#include <linux/aio_abi.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <deque>

#include "base/error.hpp"

namespace umbra::nbd {
namespace {

constexpr std::size_t most_in_flight = 128;
constexpr std::size_t most_ranges = 4;            // read ahead: 4 MiB where a range is what is hashed best
constexpr std::uint64_t step = 4096;              // every disk does whole ones of these
constexpr std::uint64_t worth_while = 16u << 20;  // of reading: the end of a context takes some tens of milliseconds

bool is_whole(std::uint64_t place, std::span<const std::byte> into) {
  return place % step == 0 && into.size() % step == 0 && reinterpret_cast<std::uintptr_t>(into.data()) % step == 0;
}

/// Through the cache; zeroes past the end.
void read_cached(const DirectFile& file, std::uint64_t place, std::span<std::byte> into) {
  const std::size_t n =
      base::read_at(file.cached.get(), place, into, fmt::format("what lies in the file at offset {}", place));
  std::fill(into.begin() + static_cast<std::ptrdiff_t>(n), into.end(), std::byte{0});
}

}  // namespace

struct DirectReads::Request {
  const DirectFile& file;
  std::uint64_t place;
  std::span<std::byte> into;
  Reads& reads;
  iocb block{};
  std::int64_t result = 0;  ///< as of read(2); an error is negative

  void complete() const {
    if (result < 0 && result != -EINVAL)
      throw base::from_errno(static_cast<int>(-result), fmt::format("read the file at offset {}", place));
    const auto done = static_cast<std::size_t>(std::max<std::int64_t>(result, 0));
    if (done < into.size()) read_cached(file, place + done, into.subspan(done));
  }
};

struct DirectReads::Reads {
  ports::Range range;
  ports::Buffer buffer;
  std::deque<Request> requests;  ///< they stay in place
  std::size_t left = 0;
};

DirectReads::~DirectReads() {
  if (m_context != 0) ::syscall(SYS_io_destroy, m_context);
}

void DirectReads::add(Reads& reads, const DirectFile& file, std::uint64_t place, std::span<std::byte> into) {
  if (!file.direct || !is_whole(place, into)) return read_cached(file, place, into);
  start(reads.requests.emplace_back(Request{file, place, into, reads}));
}

void DirectReads::start(Request& request) {
  if (m_context == 0) {
    const ssize_t n =
        ::pread(request.file.direct.get(), request.into.data(), request.into.size(), static_cast<off_t>(request.place));
    request.result = n < 0 ? -errno : n;
    return;
  }
  iocb& block = request.block;
  block.aio_data = reinterpret_cast<std::uintptr_t>(&request);
  block.aio_lio_opcode = IOCB_CMD_PREAD;
  block.aio_fildes = static_cast<std::uint32_t>(request.file.direct.get());
  block.aio_buf = reinterpret_cast<std::uintptr_t>(request.into.data());
  block.aio_nbytes = request.into.size();
  block.aio_offset = static_cast<std::int64_t>(request.place);
  iocb* one = &block;
  for (;;) {
    const long taken = ::syscall(SYS_io_submit, m_context, 1L, &one);
    if (taken == 1) break;
    if (errno == EINTR) continue;
    if (errno == EAGAIN && m_in_flight > 0) {
      collect();
      continue;
    }
    request.result = -errno;
    return;
  }
  ++request.reads.left;
  ++m_in_flight;
}

/// Waits for at least one.
void DirectReads::collect() {
  std::array<io_event, 32> events{};
  const long n = ::syscall(SYS_io_getevents, m_context, 1L, static_cast<long>(events.size()), events.data(), nullptr);
  if (n < 0 && errno != EINTR) throw base::from_errno(errno, "wait for reads of a file");
  for (long i = 0; i < n; ++i) {
    const io_event& event = events[static_cast<std::size_t>(i)];
    Request& request = *reinterpret_cast<Request*>(static_cast<std::uintptr_t>(event.data));
    request.result = event.res;
    --request.reads.left;
    --m_in_flight;
  }
}

/// Nothing may be read into buffers that are gone.
void DirectReads::drain() noexcept {
  try {
    while (m_in_flight > 0) collect();
  } catch (const std::exception&) {
    // The kernel takes its context for none: it reads nothing any more.
  }
}

void DirectReads::each_range(std::span<const ports::Range> ranges, const Begin& begin,
                             const std::function<void(const ports::Range&, ports::Buffer&)>& each) {
  std::uint64_t bytes = 0;
  for (const ports::Range& range : ranges) bytes += range.length;
  if (m_context == 0 && bytes >= worth_while && ::syscall(SYS_io_setup, most_in_flight, &m_context) != 0) m_context = 0;
  std::deque<Reads> window;
  struct Drain {
    DirectReads& reads;
    ~Drain() { reads.drain(); }
  } const drain{*this};
  std::size_t next = 0;
  const auto fill = [&] {
    while (next < ranges.size() && window.size() < most_ranges) {
      Reads& reads = window.emplace_back();
      reads.range = ranges[next++];
      if (!m_spare.empty()) {
        reads.buffer = std::move(m_spare.back());
        m_spare.pop_back();
      }
      if (reads.buffer.size() < reads.range.length) reads.buffer.resize(reads.range.length);
      begin(reads.range, std::span(reads.buffer).first(reads.range.length), reads);
    }
  };
  for (fill(); !window.empty(); fill()) {
    Reads& reads = window.front();
    while (reads.left > 0) collect();
    for (const Request& request : reads.requests) request.complete();
    each(reads.range, reads.buffer);
    m_spare.push_back(std::move(reads.buffer));
    window.pop_front();
  }
}

}  // namespace umbra::nbd
