// SPDX-License-Identifier: Apache-2.0
#include "base/digest_list.hpp"

#include <algorithm>
#include <cstring>

namespace umbra::base {
namespace {

constexpr std::uint64_t per_page = DigestList::page_digests;
constexpr std::size_t digest_bytes = sizeof(Digest);

/// Before a page's digests.
struct Head {
  std::uint32_t held = 0;  ///< digests that are not zero
  std::uint32_t is_hashed = 0;
  Digest digest;  ///< of the page
};
static_assert(sizeof(Head) + per_page * digest_bytes <= PagePool::most_bytes);

constexpr std::size_t bytes_of(std::size_t digests) {
  return sizeof(Head) + digests * digest_bytes;
}

Head head_of(std::span<const std::byte> page) {
  Head head;
  std::memcpy(&head, page.data(), sizeof head);
  return head;
}
void put_head(std::span<std::byte> page, const Head& head) {
  std::memcpy(page.data(), &head, sizeof head);
}

/// The nth digest; what lies past the end of a short page is zero.
Digest digest_at(std::span<const std::byte> page, std::uint64_t n) {
  Digest digest;
  if (bytes_of(n + 1) <= page.size()) std::memcpy(&digest, page.data() + bytes_of(n), digest_bytes);
  return digest;
}

}  // namespace

DigestList::DigestList(std::uint64_t size, std::shared_ptr<PagePool> pool)
    : m_pages((size + per_page - 1) / per_page, std::move(pool)), m_size(size) {}

DigestList::DigestList(std::initializer_list<Digest> digests) : DigestList(digests.size()) {
  std::uint64_t at = 0;
  for (const Digest& digest : digests) set(at++, digest);
}

void DigestList::resize(std::uint64_t size) {
  if (size < m_size) clear(size, m_size - size);
  m_pages.resize((size + per_page - 1) / per_page);
  // The page that was the last one, or is, has another length now, and so another digest.
  for (const std::uint64_t edge : {m_size, size}) {
    const std::uint64_t page = edge / per_page;
    if (size == m_size || edge % per_page == 0 || page >= m_pages.size() || !m_pages.has(page)) continue;
    m_pages.write(page, 0, [](std::span<std::byte> bytes) {
      Head head = head_of(bytes);
      head.is_hashed = 0;
      put_head(bytes, head);
    });
  }
  m_size = size;
}

Digest DigestList::operator[](std::uint64_t at) const {
  const std::uint64_t page = at / per_page;
  if (!m_pages.has(page)) return {};
  return m_pages.read(page, [at](std::span<const std::byte> bytes) { return digest_at(bytes, at % per_page); });
}

void DigestList::set(std::uint64_t at, const Digest& digest) {
  const std::uint64_t page = at / per_page;
  const Digest before = (*this)[at];
  if (digest == before) return;
  const bool had_page = m_pages.has(page);
  const std::uint32_t held = m_pages.write(page, bytes_of(digests_in(page)), [&](std::span<std::byte> bytes) {
    Head head = head_of(bytes);
    head.is_hashed = 0;
    head.held += before == Digest{} ? 1 : 0;
    head.held -= digest == Digest{} ? 1 : 0;
    put_head(bytes, head);
    std::memcpy(bytes.data() + bytes_of(at % per_page), &digest, digest_bytes);
    return head.held;
  });
  m_pages_held += had_page ? 0 : 1;
  m_held += before == Digest{} ? 1 : 0;
  m_held -= digest == Digest{} ? 1 : 0;
  if (held > 0) return;
  m_pages.drop(page);
  --m_pages_held;
}

void DigestList::clear(std::uint64_t first, std::uint64_t count) {
  const std::uint64_t end = first + count;
  const std::uint64_t end_page = (end + per_page - 1) / per_page;
  for (std::uint64_t page = m_pages.next(first / per_page, end_page); page < end_page;
       page = m_pages.next(page + 1, end_page)) {
    const std::uint64_t begin = page * per_page;
    const std::uint64_t last = begin + digests_in(page);
    if (begin < first || end < last) {
      for (std::uint64_t at = std::max(first, begin); at < std::min(end, last); ++at) set(at, {});
      continue;
    }
    m_held -= m_pages.read(page, [](std::span<const std::byte> bytes) { return head_of(bytes).held; });
    m_pages.drop(page);
    --m_pages_held;
  }
}

void DigestList::push_back(const Digest& digest) {
  resize(m_size + 1);
  set(m_size - 1, digest);
}

bool DigestList::operator==(const DigestList& other) const {
  return m_size == other.m_size && m_held == other.m_held && next_difference(other, 0) == m_size;
}

std::uint64_t DigestList::next(std::uint64_t at, std::uint64_t end) const {
  const std::uint64_t end_page = (end + per_page - 1) / per_page;
  while (at < end) {
    const std::uint64_t page = at / per_page;
    if (!m_pages.has(page)) {
      at = m_pages.next(page, end_page) * per_page;
      continue;
    }
    const std::uint64_t page_end = std::min(end, page * per_page + per_page);
    at = m_pages.read(page, [&](std::span<const std::byte> bytes) {
      std::uint64_t n = at;
      while (n < page_end && digest_at(bytes, n % per_page) == Digest{}) ++n;
      return n;
    });
    if (at < page_end) return at;
  }
  return end;
}

std::uint64_t DigestList::next_difference(const DigestList& other, std::uint64_t at) const {
  std::vector<Digest> mine;
  std::vector<Digest> others;
  while (at < m_size) {
    const std::uint64_t page = at / per_page;
    if ((m_pages.has(page) || other.m_pages.has(page)) && !m_pages.shares(page, other.m_pages)) {
      read_page(page, mine);
      other.read_page(page, others);
      const auto from = static_cast<std::ptrdiff_t>(at % per_page);
      const auto differs = std::mismatch(mine.begin() + from, mine.end(), others.begin() + from).first;
      if (differs != mine.end()) return page * per_page + static_cast<std::uint64_t>(differs - mine.begin());
    }
    at = std::min(next_page(page + 1), other.next_page(page + 1)) * per_page;
  }
  return m_size;
}

std::uint64_t DigestList::find(const Digest& digest) const {
  for (std::uint64_t at = next(0); at < m_size; at = next(at + 1)) {
    if ((*this)[at] == digest) return at;
  }
  return m_size;
}

std::vector<std::uint64_t> DigestList::places_of(std::span<const std::uint64_t> nth) const {
  std::vector<std::uint64_t> places;
  std::uint64_t before = 0;  // digests in the pages below that are not zero
  for (std::uint64_t page = next_page(0); page < pages() && places.size() < nth.size(); page = next_page(page + 1)) {
    m_pages.read(page, [&](std::span<const std::byte> bytes) {
      const std::uint64_t end = before + head_of(bytes).held;
      for (std::uint64_t n = 0; before < end && places.size() < nth.size() && nth[places.size()] < end; ++n) {
        if (digest_at(bytes, n) == Digest{}) continue;
        if (before++ == nth[places.size()]) places.push_back(page * per_page + n);
      }
      before = end;
    });
  }
  return places;
}

std::size_t DigestList::digests_in(std::uint64_t page) const {
  return std::min(per_page, m_size - page * per_page);
}

Digest DigestList::digest_of(std::uint64_t page) const {
  if (!m_pages.has(page)) return {};
  const Head head = m_pages.read(page, [](std::span<const std::byte> bytes) { return head_of(bytes); });
  if (head.is_hashed != 0) return head.digest;
  std::vector<Digest> digests;
  read_page(page, digests);
  const Digest digest = sha256(std::as_bytes(std::span(digests)));
  m_pages.annotate(page, [&](std::span<std::byte> bytes) { put_head(bytes, {head.held, 1, digest}); });
  return digest;
}

void DigestList::read_page(std::uint64_t page, std::vector<Digest>& digests) const {
  digests.assign(digests_in(page), Digest{});
  if (!m_pages.has(page)) return;
  m_pages.read(page, [&](std::span<const std::byte> bytes) {
    const std::size_t there = std::min(bytes.size() - sizeof(Head), digests.size() * digest_bytes);
    std::memcpy(digests.data(), bytes.data() + sizeof(Head), there);
  });
}

void DigestList::write_page(std::uint64_t page, std::span<const Digest> digests) {
  clear(page * per_page, digests_in(page));
  const auto held = static_cast<std::uint32_t>(digests.size()) -
                    static_cast<std::uint32_t>(std::count(digests.begin(), digests.end(), Digest{}));
  if (held == 0) return;
  m_pages.write(page, bytes_of(digests_in(page)), [&](std::span<std::byte> bytes) {
    put_head(bytes, {held, 0, {}});
    std::memcpy(bytes.data() + sizeof(Head), digests.data(), digests.size_bytes());
  });
  m_held += held;
  ++m_pages_held;
}

}  // namespace umbra::base
