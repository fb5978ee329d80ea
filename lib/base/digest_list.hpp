// SPDX-License-Identifier: Apache-2.0
#pragma once
// The digests of a disk's blocks, in pages of 1,024. A page of zero digests alone (a hole) takes no room and no time;
// the others lie in a PagePool, so that memory does not grow with the disk. A copy shares its pages with the original.
// Each page has a digest of its own, which is kept: what did not change is not hashed again.

#include <initializer_list>

#include "base/digest.hpp"
#include "base/page_table.hpp"

namespace umbra::base {

/// Threads may read one at a time with each other; whoever changes it is alone.
class DigestList {
 public:
  static constexpr std::size_t page_digests = 1024;

  DigestList() = default;
  /// Zero digests.
  explicit DigestList(std::uint64_t size, std::shared_ptr<PagePool> pool = PagePool::common());
  DigestList(std::initializer_list<Digest> digests);

  std::uint64_t size() const { return m_size; }
  /// What is cut off is gone, what is added is zero.
  void resize(std::uint64_t size);
  Digest operator[](std::uint64_t at) const;
  void set(std::uint64_t at, const Digest& digest);
  /// Makes these zero.
  void clear(std::uint64_t first, std::uint64_t count);
  void push_back(const Digest& digest);
  bool operator==(const DigestList& other) const;

  /// The first digest from `at` on that is not zero; size() where none is.
  std::uint64_t next(std::uint64_t at) const { return next(at, m_size); }
  /// The same before `end`; else `end`, which is no more than size(). Costs no look past it.
  std::uint64_t next(std::uint64_t at, std::uint64_t end) const;
  /// The first from `at` on that differs from the other list's, which has the same size; size() where none does.
  std::uint64_t next_difference(const DigestList& other, std::uint64_t at) const;
  /// The first that is `digest`; size() where none is.
  std::uint64_t find(const Digest& digest) const;
  /// How many are not zero.
  std::uint64_t held() const { return m_held; }
  /// Where the digests lie that are the nth of those not zero, from 0 on; `nth` rises.
  std::vector<std::uint64_t> places_of(std::span<const std::uint64_t> nth) const;

  std::uint64_t pages() const { return m_pages.size(); }
  /// How many pages are not of zeroes alone.
  std::uint64_t pages_held() const { return m_pages_held; }
  /// The first of these from `page` on; pages() where none is.
  std::uint64_t next_page(std::uint64_t page) const { return m_pages.next(page, pages()); }
  /// Digests in that page: the last one may be short.
  std::size_t digests_in(std::uint64_t page) const;
  /// SHA-256 of the page's digests; the zero digest for a page of zero digests.
  Digest digest_of(std::uint64_t page) const;
  void read_page(std::uint64_t page, std::vector<Digest>& digests) const;
  /// digests_in(page) of them.
  void write_page(std::uint64_t page, std::span<const Digest> digests);

 private:
  PageTable m_pages;
  std::uint64_t m_size = 0;
  std::uint64_t m_held = 0;
  std::uint64_t m_pages_held = 0;
};

}  // namespace umbra::base
