// SPDX-License-Identifier: Apache-2.0
#include "base/page_pool.hpp"

#include <fcntl.h>
#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>

#include "base/error.hpp"

namespace umbra::base {
namespace {

constexpr std::size_t common_memory = 16u << 20;

std::size_t memory_asked_for() {
  const char* text = std::getenv("UMBRA_PAGE_MEMORY");
  if (text == nullptr) return common_memory;
  std::size_t bytes = common_memory;
  std::from_chars(text, text + std::strlen(text), bytes);
  return bytes;
}

/// Not /tmp, which is memory on many hosts.
std::filesystem::path temporary_folder() {
  const char* named = std::getenv("TMPDIR");
  return named != nullptr && *named != '\0' ? named : "/var/tmp";
}

}  // namespace

PagePool::PagePool(std::size_t memory, std::filesystem::path folder)
    : m_memory(memory), m_folder(std::move(folder)), m_name(fmt::format("a temporary file in {}", m_folder.string())) {}

std::shared_ptr<PagePool> PagePool::common() {
  static std::mutex mutex;
  static std::weak_ptr<PagePool> known;
  const std::lock_guard lock(mutex);
  std::shared_ptr<PagePool> pool = known.lock();
  if (!pool) known = pool = std::make_shared<PagePool>(memory_asked_for(), temporary_folder());
  return pool;
}

PagePool::Page PagePool::make(std::size_t bytes) {
  if (bytes == 0 || bytes > most_bytes) throw Error(Kind::internal, fmt::format("a page can't have {} bytes", bytes));
  const std::lock_guard lock(m_mutex);
  const Page page = new_slot();
  try {
    const std::uint32_t frame = free_frame(bytes);
    m_frames[frame - 1] = {page, true, true, std::vector<std::byte>(bytes)};
    slot(page) = {1, frame, static_cast<std::uint32_t>(bytes)};
  } catch (...) {
    m_free_slots.push_back(page);
    throw;
  }
  m_in_memory += bytes;
  return page;
}

PagePool::Page PagePool::copy(Page page, std::size_t bytes) {
  std::vector<std::byte> contents = read(page, [](auto data) { return std::vector(data.begin(), data.end()); });
  contents.resize(bytes);
  const Page made = make(bytes);
  // Just made, it is in memory: this can't fail.
  write(made, [&](std::span<std::byte> data) { std::copy(contents.begin(), contents.end(), data.begin()); });
  return made;
}

void PagePool::hold(std::span<const Page> pages) {
  const std::lock_guard lock(m_mutex);
  for (const Page page : pages) {
    if (page != none) ++slot(page).holders;
  }
}

void PagePool::release(std::span<const Page> pages) noexcept {
  const std::lock_guard lock(m_mutex);
  for (const Page page : pages) {
    if (page == none || --slot(page).holders > 0) continue;
    if (const std::uint32_t frame = slot(page).frame; frame != 0) {
      m_in_memory -= m_frames[frame - 1].bytes.size();
      m_frames[frame - 1] = {};
      m_free_frames.push_back(frame);
    }
    slot(page) = {};
    m_free_slots.push_back(page);
  }
}

bool PagePool::is_shared(Page page) const {
  const std::lock_guard lock(m_mutex);
  return slot(page).holders > 1;
}

std::size_t PagePool::size_of(Page page) const {
  const std::lock_guard lock(m_mutex);
  return slot(page).bytes;
}

std::size_t PagePool::pages() const {
  const std::lock_guard lock(m_mutex);
  return m_slots.size();
}

std::size_t PagePool::in_memory() const {
  const std::lock_guard lock(m_mutex);
  return m_in_memory;
}

PagePool::Frame& PagePool::frame_of(Page page) {
  if (slot(page).frame == 0) {
    const std::size_t bytes = slot(page).bytes;
    const std::uint32_t frame = free_frame(bytes);
    Frame& loaded = m_frames[frame - 1];
    loaded.bytes.resize(bytes);
    try {
      const std::size_t n = read_at(file(), std::uint64_t{page} * most_bytes, loaded.bytes, m_name);
      if (n != bytes) throw Error(Kind::io, m_name + " is shorter than what was written to it");
    } catch (...) {
      loaded = {};
      m_free_frames.push_back(frame);
      throw;
    }
    loaded.page = page;
    slot(page).frame = frame;
    m_in_memory += bytes;
  }
  Frame& frame = m_frames[slot(page).frame - 1];
  frame.is_used = true;
  return frame;
}

std::uint32_t PagePool::free_frame(std::size_t bytes) {
  // The hand goes round: what was not used since its last visit goes.
  while (m_in_memory > 0 && m_in_memory + bytes > m_memory) {
    m_hand = m_hand % m_frames.size() + 1;
    Frame& frame = m_frames[m_hand - 1];
    if (frame.page != none && !frame.is_used) put_out(static_cast<std::uint32_t>(m_hand));
    frame.is_used = false;
  }
  // What is noted here can't fail later, in release().
  if (m_free_frames.empty()) {
    m_frames.emplace_back();
    m_free_frames.reserve(m_frames.capacity());
    m_free_frames.push_back(static_cast<std::uint32_t>(m_frames.size()));
  }
  const std::uint32_t frame = m_free_frames.back();
  m_free_frames.pop_back();
  return frame;
}

void PagePool::put_out(std::uint32_t number) {
  Frame& frame = m_frames[number - 1];
  try {
    if (frame.is_changed) write_at(file(), std::uint64_t{frame.page} * most_bytes, frame.bytes, m_name);
  } catch (Error& e) {
    if (e.kind() == Kind::no_space) e.set_hint("make room there, or set TMPDIR to a folder that has some");
    throw;
  }
  slot(frame.page).frame = 0;
  m_in_memory -= frame.bytes.size();
  frame = {};
  m_free_frames.push_back(number);
}

PagePool::Page PagePool::new_slot() {
  if (!m_free_slots.empty()) {
    const Page page = m_free_slots.back();
    m_free_slots.pop_back();
    return page;
  }
  m_slots.emplace_back();
  if (m_free_slots.capacity() < m_slots.size()) m_free_slots.reserve(2 * m_slots.size());
  return static_cast<Page>(m_slots.size());
}

int PagePool::file() {
  if (!m_file) m_file = open_nameless(m_folder);
  return m_file.get();
}

}  // namespace umbra::base
