// SPDX-License-Identifier: Apache-2.0
#include "adapters/nbd/direct_reads.hpp"

#include <fmt/core.h>
#include <linux/aio_abi.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/error.hpp"

namespace umbra::nbd {
namespace {

constexpr std::size_t most_in_flight = 128;
constexpr std::size_t most_ranges = 4;  // read ahead: 4 MiB where a range is what is hashed best
constexpr std::uint64_t step = 4096;    // every disk does whole ones of these

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
};

std::unique_ptr<DirectReads> DirectReads::open() {
  aio_context_t context = 0;
  if (::syscall(SYS_io_setup, most_in_flight, &context) != 0) return nullptr;
  return std::unique_ptr<DirectReads>(new DirectReads(context));
}

DirectReads::~DirectReads() {
  ::syscall(SYS_io_destroy, m_context);
}

void DirectReads::Reads::add(const DirectFile& file, std::uint64_t place, std::span<std::byte> into) {
  if (!file.direct || !is_whole(place, into)) return read_cached(file, place, into);
  m_by.start(m_requests.emplace_back(Request{file, place, into, *this}));
}

void DirectReads::Reads::complete(Request& request) const {
  const std::int64_t told = request.result;
  if (told < 0 && told != -EINVAL)
    throw base::from_errno(static_cast<int>(-told), fmt::format("read the file at offset {}", request.place));
  const auto done = static_cast<std::size_t>(std::max<std::int64_t>(told, 0));
  if (done < request.into.size()) read_cached(request.file, request.place + done, request.into.subspan(done));
}

void DirectReads::start(Request& request) {
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
  ++request.reads.m_left;
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
    --request.reads.m_left;
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
  std::deque<Reads> window;
  struct Drain {
    DirectReads& reads;
    ~Drain() { reads.drain(); }
  } const drain{*this};
  std::vector<ports::Buffer> spare;
  std::size_t next = 0;
  const auto fill = [&] {
    while (next < ranges.size() && window.size() < most_ranges) {
      Reads& reads = window.emplace_back(Reads(*this));
      reads.m_range = ranges[next++];
      if (!spare.empty()) {
        reads.m_buffer = std::move(spare.back());
        spare.pop_back();
      }
      if (reads.m_buffer.size() < reads.m_range.length) reads.m_buffer.resize(reads.m_range.length);
      begin(reads.m_range, std::span(reads.m_buffer).first(reads.m_range.length), reads);
    }
  };
  for (fill(); !window.empty(); fill()) {
    Reads& reads = window.front();
    while (reads.m_left > 0) collect();
    for (Request& request : reads.m_requests) reads.complete(request);
    each(reads.m_range, reads.m_buffer);
    spare.push_back(std::move(reads.m_buffer));
    window.pop_front();
  }
}

}  // namespace umbra::nbd
