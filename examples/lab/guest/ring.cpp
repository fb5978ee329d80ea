// SPDX-License-Identifier: Apache-2.0
#include "ring.hpp"

#include <fcntl.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <new>
#include <stdexcept>
#include <vector>

namespace {

constexpr std::uint64_t first_byte = 1 << 20;
constexpr std::uint64_t slot_bytes = sizeof(Slot);
constexpr std::uint64_t slots_per_read = 256;
constexpr std::uint64_t magic = 0x3164726f63657231;  // "1record1"

std::uint64_t mixed(std::uint64_t x) {  // splitmix64: a word that no other number's slot has at this place
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

std::uint64_t sum_of(const Slot& slot) {
  std::uint64_t sum = mixed(slot.magic) ^ mixed(slot.number + 1) ^ mixed(slot.unix_us + 2);
  for (const auto word : slot.body) sum = (sum ^ word) * 0x100000001b3 + 1;
  return sum;
}

bool is_empty(const Slot& slot) {
  const auto* words = reinterpret_cast<const std::uint64_t*>(&slot);
  return std::all_of(words, words + slot_bytes / sizeof *words, [](auto word) { return word == 0; });
}

// Direct I/O wants aligned memory.
struct Freed {
  void operator()(Slot* slots) const { ::operator delete (slots, std::align_val_t{slot_bytes}); }
};
std::unique_ptr<Slot, Freed> aligned_slots(std::uint64_t count) {
  return std::unique_ptr<Slot, Freed>(
      static_cast<Slot*>(::operator new (count* slot_bytes, std::align_val_t{slot_bytes})));
}

// Reads up to `count` slots; what lies beyond the end of a short file is zero, as on a sparse disk.
void read_slots(int fd, std::uint64_t index, std::uint64_t count, Slot* into) {
  auto* bytes = reinterpret_cast<char*>(into);
  const auto wanted = count * slot_bytes;
  std::uint64_t done = 0;
  while (done < wanted) {
    const auto got =
        ::pread(fd, bytes + done, wanted - done, static_cast<off_t>(first_byte + index * slot_bytes + done));
    if (got < 0 && errno == EINTR) continue;
    check_call(got, "read of the disk");
    if (got == 0) break;
    done += static_cast<std::uint64_t>(got);
  }
  std::memset(bytes + done, 0, wanted - done);
}

}  // namespace

Ring::Ring(const std::string& path, Mode mode, std::uint64_t disk_bytes) {
  const int flags = (mode == Mode::Write ? O_RDWR : O_RDONLY) | O_CLOEXEC;
  m_fd = Fd(::open(path.c_str(), flags | O_DIRECT));  // past the page cache: a record must come from the disk itself
  if (!m_fd && errno == EINVAL) m_fd = Fd(::open(path.c_str(), flags));
  check_call(m_fd.get(), path);
  if (disk_bytes == 0) {
    const auto end = ::lseek(m_fd.get(), 0, SEEK_END);
    check_call(end, path);
    disk_bytes = static_cast<std::uint64_t>(end);
  }
  if (disk_bytes / 2 < first_byte + slot_bytes) throw std::runtime_error(path + ": too small for records");
  m_slots = (disk_bytes / 2 - first_byte) / slot_bytes;
}

std::uint64_t Ring::newest() const {
  const auto slot = aligned_slots(1);
  const auto number_at = [&](std::uint64_t index) -> std::uint64_t {
    read_slots(m_fd.get(), index, 1, slot.get());
    return slot->magic == magic && slot->sum == sum_of(*slot) ? slot->number : 0;
  };
  const auto lap_start = number_at(0);
  if (lap_start == 0) return 0;
  // Slots of this lap hold lap_start + index; from the first that does not, it is the lap before or empty.
  std::uint64_t low = 0, high = m_slots;
  while (high - low > 1) {
    const auto middle = low + (high - low) / 2;
    (number_at(middle) == lap_start + middle ? low : high) = middle;
  }
  return lap_start + low;
}

void Ring::append(std::uint64_t number) const {
  const auto slot = aligned_slots(1);
  slot->magic = magic;
  slot->number = number;
  slot->unix_us = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::system_clock::now().time_since_epoch())
          .count());
  for (std::size_t i = 0; i < slot->body.size(); ++i) slot->body[i] = mixed(number * 512 + i);
  slot->sum = sum_of(*slot);
  const auto offset = static_cast<off_t>(first_byte + (number - 1) % m_slots * slot_bytes);
  const auto put = ::pwrite(m_fd.get(), slot.get(), slot_bytes, offset);
  check_call(put, "write of a record");
  if (put != static_cast<ssize_t>(slot_bytes)) throw std::runtime_error("write of a record was cut short");
  check_call(::fdatasync(m_fd.get()), "fdatasync");
}

RingReport Ring::check(std::uint64_t known) const {
  enum : std::uint64_t { empty = 0, broken = ~0ULL };
  std::vector<std::uint64_t> found(m_slots, empty);
  const auto buffer = aligned_slots(slots_per_read);
  for (std::uint64_t index = 0; index < m_slots; index += slots_per_read) {
    const auto count = std::min(slots_per_read, m_slots - index);
    read_slots(m_fd.get(), index, count, buffer.get());
    for (std::uint64_t i = 0; i < count; ++i) {
      const Slot& slot = buffer.get()[i];
      if (is_empty(slot)) continue;
      const bool valid = slot.magic == magic && slot.sum == sum_of(slot) && slot.number != 0 &&
                         (slot.number - 1) % m_slots == index + i;
      found[index + i] = valid ? slot.number : static_cast<std::uint64_t>(broken);
    }
  }
  RingReport report;
  report.last = known;
  if (known == 0)
    for (const auto number : found)
      if (number != broken) report.last = std::max(report.last, number);
  for (std::uint64_t index = 0; index < m_slots; ++index) {
    const auto number = found[index];
    // The number that this place must hold, given the last one; 0: none yet.
    const auto laps = report.last > index ? (report.last - 1 - index) / m_slots : 0;
    const auto expected = report.last > index ? laps * m_slots + index + 1 : 0;
    if (known == 0 && number == broken && index == report.last % m_slots) {
      report.torn_tail = true;
      continue;
    }
    if (number == broken) ++report.bad;
    if (expected == 0 || number == expected) continue;
    if (known != 0 && number > report.last && number != broken) continue;
    ++report.missing;
    if (report.first_missing == 0 || expected < report.first_missing) report.first_missing = expected;
  }
  if (report.last > 0) report.first = report.last > m_slots ? report.last - m_slots + 1 : 1;
  if (report.torn_tail && report.last > m_slots) ++report.first;
  return report;
}

std::string RingReport::json() const {
  return "{\"ok\":" + std::string(ok() ? "true" : "false") + ",\"first\":" + std::to_string(first) +
         ",\"last\":" + std::to_string(last) + ",\"missing\":" + std::to_string(missing) +
         ",\"first_missing\":" + std::to_string(first_missing) + ",\"bad\":" + std::to_string(bad) +
         ",\"torn_tail\":" + (torn_tail ? "true" : "false") + "}";
}
