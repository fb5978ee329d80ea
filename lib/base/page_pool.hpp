// SPDX-License-Identifier: Apache-2.0
#pragma once
// Pages of bytes for lists that grow with a disk. So many bytes of them stay in memory; the others lie in a file
// without a name, by plain reads and writes, so that a full disk is an error like any other (Kind::no_space) and not a
// signal.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "base/fd.hpp"

namespace umbra::base {

/// Pages are counted: several lists may hold the same one. Threads may use it at the same time.
class PagePool {
 public:
  using Page = std::uint32_t;
  static constexpr Page none = 0;
  static constexpr std::size_t most_bytes = 33u << 10;  ///< of a page

  /// The file is made in `folder` when it is first needed.
  PagePool(std::size_t memory, std::filesystem::path folder);
  PagePool(const PagePool&) = delete;
  PagePool& operator=(const PagePool&) = delete;

  /// The one that a process's lists share, since its memory is one: 16 MiB, or what UMBRA_PAGE_MEMORY says in bytes,
  /// and the file in TMPDIR, else /var/tmp. It ends with the last list.
  static std::shared_ptr<PagePool> common();

  /// A page of zeroes, held once.
  Page make(std::size_t bytes);
  /// The same contents, cut or with zeroes added; held once.
  Page copy(Page page, std::size_t bytes);
  void hold(std::span<const Page> pages);
  void release(std::span<const Page> pages) noexcept;
  bool is_shared(Page page) const;
  std::size_t size_of(Page page) const;

  /// `use` gets the page's bytes, which are good until it returns; it must not turn to the pool.
  template <class Use>
  auto read(Page page, Use&& use) {
    const std::lock_guard lock(m_mutex);
    return use(std::span<const std::byte>(frame_of(page).bytes));
  }
  template <class Use>
  auto write(Page page, Use&& use) {
    const std::lock_guard lock(m_mutex);
    Frame& frame = frame_of(page);
    frame.is_changed = true;
    return use(std::span<std::byte>(frame.bytes));
  }

  /// Places for pages in the file that were ever given out.
  std::size_t pages() const;
  /// Bytes of pages that are in memory now.
  std::size_t in_memory() const;

 private:
  struct Frame {
    Page page = none;
    bool is_used = false;     ///< since the hand last came by
    bool is_changed = false;  ///< the file does not have it so
    std::vector<std::byte> bytes;
  };
  struct Slot {
    std::uint32_t holders = 0;
    std::uint32_t frame = 0;  ///< where it is in memory, from 1 on; 0: in the file
    std::uint32_t bytes = 0;
  };

  Slot& slot(Page page) { return m_slots[page - 1]; }
  const Slot& slot(Page page) const { return m_slots[page - 1]; }
  Frame& frame_of(Page page);
  /// An empty frame, after others have gone to the file as far as is needed.
  std::uint32_t free_frame(std::size_t bytes);
  void put_out(std::uint32_t frame);
  Page new_slot();
  int file();

  std::size_t m_memory;
  std::filesystem::path m_folder;
  std::string m_name;  ///< of the file, for messages
  UniqueFd m_file;
  mutable std::mutex m_mutex;
  std::deque<Slot> m_slots;  ///< of the pages, which also have their places in the file by it
  std::vector<Page> m_free_slots;
  std::vector<Frame> m_frames;
  std::vector<std::uint32_t> m_free_frames;
  std::size_t m_hand = 0;
  std::size_t m_in_memory = 0;
};

}  // namespace umbra::base
