// SPDX-License-Identifier: Apache-2.0
#include "adapters/nbd/source.hpp"

#include <fmt/core.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <deque>
#include <optional>

#include "adapters/nbd/nbd_source.hpp"
#include "adapters/nbd/process.hpp"
#include "adapters/nbd/sector.hpp"
#include "base/error.hpp"

namespace umbra::nbd {
namespace {

using base::Error;
using base::Kind;
using ports::Extent;
using ports::Range;

constexpr std::string_view base_allocation = "base:allocation";
constexpr std::string_view allocation_depth = "qemu:allocation-depth";
constexpr std::uint32_t state_zero = 2;          // LIBNBD_STATE_ZERO
constexpr std::uint64_t status_step = 1u << 30;  // a reply's lengths are 32-bit
constexpr std::string_view depth_prefix = "umbra: changed above depth ";
constexpr std::string_view size_prefix = "umbra: size in bytes ";
constexpr std::string_view failure_prefix = "umbra: changes unknown: ";
constexpr std::size_t most_reads = 64;
constexpr std::uint64_t most_bytes = 8u << 20;  // read ahead; one request of any size is always allowed

/// The flags of one context from an offset on, eaten from the front.
class Flags {
 public:
  void add(std::span<const std::uint32_t> pairs) {
    for (std::size_t i = 0; i + 1 < pairs.size(); i += 2) m_runs.push_back({pairs[i], pairs[i + 1]});
  }
  bool empty() const { return m_runs.empty(); }
  std::uint64_t length() const { return m_runs.front().length; }
  std::uint32_t flags() const { return m_runs.front().flags; }
  void eat(std::uint64_t length) {
    m_runs.front().length -= length;
    if (m_runs.front().length == 0) m_runs.pop_front();
  }

 private:
  struct Run {
    std::uint64_t length;
    std::uint32_t flags;
  };
  std::deque<Run> m_runs;
};

/// The number that is all of `text` but its prefix.
template <class Number>
std::optional<Number> number_after(std::string_view prefix, std::string_view text) {
  if (!text.starts_with(prefix)) return std::nullopt;
  text.remove_prefix(prefix.size());
  Number number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

/// Joins neighbours that say the same.
class Joiner {
 public:
  explicit Joiner(const std::function<void(const Extent&)>& each) : m_each(each) {}
  void add(const Extent& e) {
    if (m_last && m_last->zero == e.zero && m_last->changed == e.changed) {
      m_last->length += e.length;
      return;
    }
    finish();
    m_last = e;
  }
  void finish() {
    if (m_last) m_each(*m_last);
    m_last.reset();
  }

 private:
  const std::function<void(const Extent&)>& m_each;
  std::optional<Extent> m_last;
};

}  // namespace

std::string depth_description(std::uint32_t depth) {
  return fmt::format("{}{}", depth_prefix, depth);
}

std::optional<std::uint32_t> depth_of_description(std::string_view text) {
  const auto depth = number_after<std::uint32_t>(depth_prefix, text);
  return depth && *depth > 0 ? depth : std::nullopt;
}

std::string size_description(model::ByteCount size) {
  return fmt::format("{}{}", size_prefix, size.value);
}

std::optional<model::ByteCount> size_of_description(std::string_view text) {
  const auto size = number_after<std::uint64_t>(size_prefix, text);
  return size ? std::optional(model::ByteCount{*size}) : std::nullopt;
}

std::string failure_description(const Error& error) {
  return fmt::format("{}{} {}", failure_prefix, base::to_string(error.kind()), error.what());
}

std::optional<Error> failure_of_description(std::string_view text) {
  if (!text.starts_with(failure_prefix)) return std::nullopt;
  text.remove_prefix(failure_prefix.size());
  const std::size_t space = std::min(text.find(' '), text.size());
  return Error(base::kind_from_string(text.substr(0, space)),
               std::string(text.substr(std::min(space + 1, text.size()))));
}

void prepare(Connection& connection, const std::string& dirty_context) {
  connection.want_context(std::string(base_allocation));
  if (!dirty_context.empty()) connection.want_context(dirty_context);
  connection.want_description();
  connection.allow_odd_end();
}

NbdSource::NbdSource(Connection connection, const std::string& dirty_context, std::any server)
    : m_server(std::move(server)), m_connection(std::move(connection)), m_dirty_context(dirty_context) {
  m_size = m_connection.size();
  m_sizes = m_connection.block_sizes();
  const auto told = size_of_description(m_connection.description());
  if (told && *told < m_size && told->value + sector > m_size.value) m_size = *told;
  m_tells_zeroes = m_connection.has_context(std::string(base_allocation));
  if (dirty_context.empty()) return;
  if (const auto failure = failure_of_description(m_connection.description())) throw *failure;
  if (!m_connection.has_context(dirty_context))
    throw Error(Kind::unsupported, fmt::format("the NBD export does not offer {}", dirty_context));
  if (dirty_context != allocation_depth) return;
  const auto depth = depth_of_description(m_connection.description());
  if (!depth) throw Error(Kind::unsupported, "the NBD export does not tell above which layer changes are asked for");
  m_depth = *depth;
}

bool NbdSource::is_changed(std::uint32_t flags) const {
  if (m_dirty_context == allocation_depth) return flags != 0 && flags < m_depth;  // 0: allocated in no layer
  return (flags & 1) != 0;
}

void NbdSource::each_extent(const std::function<void(const Extent&)>& each) {
  if (!m_tells_zeroes && m_dirty_context.empty()) {
    if (m_size.value > 0) each({0, m_size.value, false, true});
    return;
  }
  Joiner joined(each);
  const std::uint64_t told_end = m_size.value - odd_end();  // of what lies beyond, nothing can be asked
  for (std::uint64_t offset = 0; offset < told_end;) {
    Flags zeroes;
    Flags changes;
    const std::uint64_t asked = std::min(status_step, told_end - offset);
    m_connection.block_status(offset, asked, [&](const std::string& context, std::span<const std::uint32_t> pairs) {
      (context == base_allocation ? zeroes : changes).add(pairs);
    });
    // A server may answer for less than was asked, and for each context as far as it likes.
    const std::uint64_t before = offset;
    const bool tracks = tracks_changes();
    while (offset < told_end && !(m_tells_zeroes && zeroes.empty()) && !(tracks && changes.empty())) {
      std::uint64_t length = told_end - offset;
      if (m_tells_zeroes) length = std::min(length, zeroes.length());
      if (tracks) length = std::min(length, changes.length());
      const bool zero = m_tells_zeroes && (zeroes.flags() & state_zero) != 0;
      joined.add({offset, length, zero, !tracks || is_changed(changes.flags())});
      if (m_tells_zeroes) zeroes.eat(length);
      if (tracks) changes.eat(length);
      offset += length;
    }
    if (offset == before) throw Error(Kind::io, fmt::format("the NBD server tells no extents at offset {}", offset));
  }
  if (odd_end() > 0) joined.add({told_end, odd_end(), false, true});
  joined.finish();
}

void NbdSource::read(std::span<const Range> ranges,
                     const std::function<void(const Range&, std::span<const std::byte>)>& each) {
  read_buffers(ranges, [&](const Range& range, ports::Buffer& buffer) {
    each(range, std::span<const std::byte>(buffer).first(range.length));
  });
}

void NbdSource::read_buffers(std::span<const Range> ranges,
                             const std::function<void(const Range&, ports::Buffer&)>& each) {
  try {
    read_ahead(ranges, each);
  } catch (...) {
    m_connection.close();  // no later call may deliver into buffers that are gone
    throw;
  }
}

ports::Buffer NbdSource::take_spare() {
  if (m_spare.empty()) return {};
  ports::Buffer buffer = std::move(m_spare.back());
  m_spare.pop_back();
  m_spare_bytes -= buffer.size();
  return buffer;
}

void NbdSource::keep_spare(ports::Buffer buffer) {
  if (m_spare_bytes + buffer.size() > most_bytes) return;
  m_spare_bytes += buffer.size();
  m_spare.push_back(std::move(buffer));
}

void NbdSource::read_ahead(std::span<const Range> ranges,
                           const std::function<void(const Range&, ports::Buffer&)>& each) {
  struct Slot {
    Range range;
    ports::Buffer buffer;
    std::vector<Completion> completions;  ///< of its requests, in order
  };
  std::deque<Slot> window;  // its elements stay in place while ends are added and removed
  std::uint64_t bytes = 0;
  std::size_t next = 0;
  const auto start = [&](const Range& range, ports::Buffer& buffer, std::vector<Completion>& completions) {
    completions.resize((range.length + m_sizes.maximum - 1) / m_sizes.maximum);  // first: they stay in place
    std::uint64_t done = 0;
    for (Completion& completion : completions) {
      const std::uint64_t length = std::min(m_sizes.maximum, range.length - done);
      m_connection.start_read(range.offset + done, std::span(buffer).subspan(done, length), completion);
      done += length;
    }
  };
  const auto fill = [&] {
    while (next < ranges.size() && window.size() < most_reads &&
           (window.empty() || bytes + ranges[next].length <= most_bytes)) {
      Slot& slot = window.emplace_back();
      slot.range = ranges[next++];
      slot.buffer = take_spare();
      // Never made smaller: growing again would fill it with zeroes.
      if (slot.buffer.size() < slot.range.length) slot.buffer.resize(slot.range.length);
      bytes += slot.range.length;
      start(slot.range, slot.buffer, slot.completions);
    }
  };
  for (fill(); !window.empty(); fill()) {
    Slot& slot = window.front();
    for (const Completion& completion : slot.completions) {
      wait_for(completion);
      if (completion.error != 0) fail(completion.error, slot.range.offset, slot.range.offset + slot.range.length);
    }
    m_connection.nudge();
    each(slot.range, slot.buffer);
    bytes -= slot.range.length;
    keep_spare(std::move(slot.buffer));
    window.pop_front();
  }
}

void NbdSource::fail(int error, std::uint64_t begin, std::uint64_t end) const {
  if (error == EINVAL && odd_end() > 0 && end == m_size.value)
    throw Error(
        Kind::unsupported,
        fmt::format("the last {} bytes can't be read: the server takes whole blocks of {} alone, and the size of "
                    "{} is no multiple of that",
                    odd_end(), m_sizes.minimum, m_size.value),
        fmt::format("serve it padded: nbdkit --filter=truncate ... round-up={}", m_sizes.minimum));
  throw base::from_errno(error, fmt::format("read at offset {}", begin));
}

void NbdSource::wait_for(const Completion& completion) {
  constexpr base::Millis between_looks{100};
  do {
    if (m_stopped) throw Error(Kind::cancelled, "the reading was stopped");
    if (!completion.done) m_connection.poll(between_looks);
  } while (!completion.done);
}

std::unique_ptr<ports::BlockSource> open_uri(const std::string& uri, const std::string& dirty_context) {
  return base::with_context(fmt::format("reading {}", uri), [&]() -> std::unique_ptr<ports::BlockSource> {
    Connection connection;
    prepare(connection, dirty_context);
    connection.connect_uri(uri);
    return std::make_unique<NbdSource>(std::move(connection), dirty_context, std::any{});
  });
}

std::unique_ptr<ports::BlockSource> open_command(const base::Argv& argv, const std::string& dirty_context) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
    throw base::from_errno(errno, "make a socket");
  base::UniqueFd ours(ends[0]);
  base::UniqueFd theirs(ends[1]);
  auto process = std::make_shared<Process>(argv, ChildFds{.in = theirs.get(), .out = theirs.get()});
  theirs.reset();
  return base::with_context(
      fmt::format("reading by `{}`", base::to_shell(argv)), [&]() -> std::unique_ptr<ports::BlockSource> {
        Connection connection;
        prepare(connection, dirty_context);
        try {
          connection.connect_socket(std::move(ours));
        } catch (Error& e) {
          const int status = process->wait_for(base::Millis{2000});
          if (status < 0) throw;
          throw Error(Kind::unreachable,
                      fmt::format("the far end ended with status {} before it served anything", status),
                      fmt::format("try it by hand: {} </dev/null", base::to_shell(argv)));
        }
        return std::make_unique<NbdSource>(std::move(connection), dirty_context, std::any(std::move(process)));
      });
}

std::string dirty_context_of(const ports::FileExport& file) {
  if (file.bitmap) return "qemu:dirty-bitmap:" + *file.bitmap;
  if (file.above) return std::string(allocation_depth);
  return {};
}

}  // namespace umbra::nbd
