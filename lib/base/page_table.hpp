// SPDX-License-Identifier: Apache-2.0
#pragma once
// An array of pages of which most may be absent: what is absent takes four bytes. A copy shares its pages with the
// original until one of the two writes to them.

#include <algorithm>
#include <utility>

#include "base/page_pool.hpp"

namespace umbra::base {

/// Several threads may read one; whoever writes is alone.
class PageTable {
 public:
  PageTable() = default;
  explicit PageTable(std::uint64_t pages, std::shared_ptr<PagePool> pool = PagePool::common())
      : m_pool(std::move(pool)), m_pages(pages, PagePool::none) {}
  PageTable(const PageTable& other) : m_pool(other.m_pool), m_pages(other.m_pages) { hold(); }
  PageTable(PageTable&& other) noexcept = default;
  PageTable& operator=(const PageTable& other) {
    PageTable copy(other);
    return *this = std::move(copy);
  }
  PageTable& operator=(PageTable&& other) noexcept {
    std::swap(m_pool, other.m_pool);
    std::swap(m_pages, other.m_pages);
    return *this;
  }
  ~PageTable() {
    if (m_pool) m_pool->release(m_pages);
  }

  std::uint64_t size() const { return m_pages.size(); }
  bool has(std::uint64_t page) const { return m_pages[page] != PagePool::none; }
  /// The first page that is there, from this one on and before `end`; else size() or `end`, whichever is less.
  std::uint64_t next(std::uint64_t page, std::uint64_t end) const {
    end = std::min<std::uint64_t>(end, m_pages.size());
    while (page < end && m_pages[page] == PagePool::none) ++page;
    return std::min(page, end);
  }
  /// Whether this page of both is one and the same.
  bool shares(std::uint64_t page, const PageTable& other) const {
    return m_pool == other.m_pool && m_pages[page] == other.m_pages[page];
  }

  /// Of a page that is there; `use` gets its bytes, and must turn to no page.
  template <class Use>
  auto read(std::uint64_t page, Use&& use) const {
    return m_pool->read(m_pages[page], std::forward<Use>(use));
  }
  /// The same for writing: a page that is absent is made of zeroes, one that is shorter than `bytes` grows.
  template <class Use>
  auto write(std::uint64_t page, std::size_t bytes, Use&& use) {
    PagePool::Page& own = m_pages[page];
    if (own == PagePool::none) {
      own = m_pool->make(bytes);
    } else if (const std::size_t had = m_pool->size_of(own); had < bytes || m_pool->is_shared(own)) {
      const PagePool::Page copy = m_pool->copy(own, std::max(had, bytes));
      m_pool->release({&own, 1});
      own = copy;
    }
    return m_pool->write(own, std::forward<Use>(use));
  }
  /// What is kept in a page about the page itself may be noted in all copies at once.
  template <class Use>
  auto annotate(std::uint64_t page, Use&& use) const {
    return m_pool->write(m_pages[page], std::forward<Use>(use));
  }
  void drop(std::uint64_t page) {
    m_pool->release({&m_pages[page], 1});
    m_pages[page] = PagePool::none;
  }
  void resize(std::uint64_t pages) {
    if (pages < m_pages.size()) m_pool->release(std::span(m_pages).subspan(pages));
    m_pages.resize(pages, PagePool::none);
    if (!m_pool) m_pool = PagePool::common();
  }

 private:
  void hold() const {
    if (m_pool) m_pool->hold(m_pages);
  }
  std::shared_ptr<PagePool> m_pool;
  std::vector<PagePool::Page> m_pages;
};

}  // namespace umbra::base
