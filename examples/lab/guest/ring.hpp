// SPDX-License-Identifier: Apache-2.0
// The numbered records that a guest writes to its first disk, so that a lost, reordered or torn write can be proved.
//
// From 1 MiB on, up to half of the disk, lie slots of 4096 bytes. Number n (from 1) has the one place (n-1) mod slots,
// so the region is a ring: the newest lap overwrites the one before. A slot: magic, number, wall clock in µs, checksum
// over all other words, then 508 words that depend on the number. The guest syncs each record before it says the number
// to anyone.
#pragma once

#include "net.hpp"

#include <array>
#include <cstdint>
#include <string>

struct Slot {
  std::uint64_t magic;
  std::uint64_t number;
  std::uint64_t unix_us;
  std::uint64_t sum;
  std::array<std::uint64_t, 508> body;
};
static_assert(sizeof(Slot) == 4096);

struct RingReport {
  std::uint64_t first = 0, last = 0;  // 0 0 when there is no record
  std::uint64_t missing = 0, first_missing = 0;
  std::uint64_t bad = 0;   // slots with content that is no valid record
  bool torn_tail = false;  // the one slot after the last is bad: a write that was cut and never acknowledged
  bool ok() const { return missing == 0 && bad == 0; }
  std::string json() const;
};

class Ring {
 public:
  enum class Mode { Read, Write };
  // `disk_bytes` is the size of the whole disk where the file holds only the front of it; 0: the file's own size.
  Ring(const std::string& path, Mode mode, std::uint64_t disk_bytes = 0);

  std::uint64_t newest() const;             // 0: none. A few reads, by bisection.
  void append(std::uint64_t number) const;  // back only when it is on stable storage
  // Reads every slot in use. `known` is a number known to be synced, where records are still being added: newer ones
  // are then no fault. 0: nothing is being written, the newest found counts.
  RingReport check(std::uint64_t known = 0) const;

 private:
  Fd m_fd;
  std::uint64_t m_slots = 0;
};
