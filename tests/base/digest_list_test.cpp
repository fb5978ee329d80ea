// SPDX-License-Identifier: Apache-2.0
#include "base/digest_list.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <rapidcheck.h>
#include <algorithm>
#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>

#include "base/error.hpp"

using namespace umbra::base;

namespace {

constexpr std::size_t page = DigestList::page_digests;
using Plain = std::vector<Digest>;

Digest digest_of(std::uint64_t number) {
  Digest digest;
  for (std::size_t i = 0; i < 8; ++i) digest.bytes[i] = static_cast<std::byte>(number >> (8 * i));
  return digest;
}

/// So small that of two pages one lies in the file.
std::shared_ptr<PagePool> tiny_pool() {
  return std::make_shared<PagePool>(40'000, std::filesystem::temp_directory_path());
}

void require_same(const DigestList& list, const Plain& plain) {
  RC_ASSERT(list.size() == plain.size());
  RC_ASSERT(list.held() == plain.size() - static_cast<std::size_t>(std::count(plain.begin(), plain.end(), Digest{})));
  std::uint64_t pages = 0;
  std::vector<Digest> got;
  for (std::uint64_t p = 0; p < list.pages(); ++p) {
    const auto begin = plain.begin() + static_cast<std::ptrdiff_t>(p * page);
    const Plain expected(begin, begin + static_cast<std::ptrdiff_t>(std::min(page, plain.size() - p * page)));
    list.read_page(p, got);
    RC_ASSERT(got == expected);
    const bool zero = std::all_of(expected.begin(), expected.end(), [](const Digest& d) { return d == Digest{}; });
    RC_ASSERT(list.digest_of(p) == (zero ? Digest{} : sha256(std::as_bytes(std::span(expected)))));
    RC_ASSERT((list.next_page(p) == p) == !zero);
    pages += zero ? 0 : 1;
  }
  RC_ASSERT(list.pages_held() == pages);
}

std::uint64_t next_in(const Plain& plain, std::uint64_t at) {
  while (at < plain.size() && plain[at] == Digest{}) ++at;
  return std::min<std::uint64_t>(at, plain.size());
}

/// One change of both.
void change(DigestList& list, Plain& plain) {
  const auto size = *rc::gen::inRange<std::size_t>(1, 4 * page);
  const auto at = plain.empty() ? 0 : *rc::gen::inRange<std::size_t>(0, plain.size());
  const auto count = *rc::gen::inRange<std::size_t>(0, plain.size() - at + 1);
  switch (*rc::gen::inRange(0, 6)) {
    case 0:
      list.resize(size);
      plain.resize(size);
      break;
    case 1:
      list.clear(at, count);
      std::fill_n(plain.begin() + static_cast<std::ptrdiff_t>(at), count, Digest{});
      break;
    case 2:
      if (plain.empty()) break;
      {
        std::vector<Digest> of_page(list.digests_in(at / page));
        for (std::size_t i = 0; i < of_page.size(); ++i) of_page[i] = digest_of(i % 3 == 0 ? 0 : i + size);
        list.write_page(at / page, of_page);
        std::copy(of_page.begin(), of_page.end(), plain.begin() + static_cast<std::ptrdiff_t>(at / page * page));
      }
      break;
    case 3:
      list.push_back(digest_of(size));
      plain.push_back(digest_of(size));
      break;
    default:
      for (std::size_t i = at; i < at + std::min<std::size_t>(count, 50); ++i) {
        const Digest digest = digest_of(size % 4 == 0 ? 0 : size + i);
        list.set(i, digest);
        plain[i] = digest;
      }
  }
}

}  // namespace

TEST_CASE("a list of digests is what a plain vector would be, and so are its copies") {
  CHECK(rc::check([] {
    const auto pool = tiny_pool();
    std::vector<std::pair<DigestList, Plain>> lists{{DigestList(0, pool), {}}};
    const auto steps = *rc::gen::inRange(1, 30);
    for (int i = 0; i < steps; ++i) {
      const auto which = *rc::gen::inRange<std::size_t>(0, lists.size());
      if (*rc::gen::inRange(0, 4) == 0 && lists.size() < 4) lists.push_back(lists[which]);
      change(lists[which].first, lists[which].second);
      if (*rc::gen::inRange(0, 3) == 0) require_same(lists[which].first, lists[which].second);  // its pages are hashed
    }
    for (const auto& [list, plain] : lists) {
      require_same(list, plain);
      const auto at = *rc::gen::inRange<std::uint64_t>(0, plain.size() + 1);
      RC_ASSERT(list.next(at) == next_in(plain, at));
      const auto end = *rc::gen::inRange<std::uint64_t>(at, plain.size() + 1);
      RC_ASSERT(list.next(at, end) == std::min(next_in(plain, at), end));
      for (const auto& [other, others] : lists) {
        RC_ASSERT((list == other) == (plain == others));
        if (plain.size() != others.size()) continue;
        const auto from = static_cast<std::ptrdiff_t>(at);
        const auto differs = std::mismatch(plain.begin() + from, plain.end(), others.begin() + from).first;
        RC_ASSERT(list.next_difference(other, at) == static_cast<std::uint64_t>(differs - plain.begin()));
      }
    }
  }));
}

TEST_CASE("the nth digest that is not zero is found, and the first that is as asked for") {
  DigestList list(5 * page, tiny_pool());
  const std::vector<std::uint64_t> places{0, 7, page - 1, 3 * page, 3 * page + 1, 5 * page - 1};
  for (const std::uint64_t at : places) list.set(at, digest_of(at + 1));
  CHECK(list.places_of(std::vector<std::uint64_t>{0, 1, 2, 3, 4, 5}) == places);
  CHECK(list.places_of(std::vector<std::uint64_t>{2, 5}) == std::vector<std::uint64_t>{page - 1, 5 * page - 1});
  CHECK(list.places_of(std::vector<std::uint64_t>{6}).empty());
  CHECK(list.find(digest_of(3 * page + 2)) == 3 * page + 1);
  CHECK(list.find(digest_of(99'999)) == list.size());
}

TEST_CASE("memory stays within the budget, whatever a list holds, and holes take none") {
  const auto pool = std::make_shared<PagePool>(200'000, std::filesystem::temp_directory_path());
  DigestList sparse(1u << 28, pool);  // 16 TiB
  sparse.set((1u << 28) - 1, digest_of(1));
  CHECK(sparse.pages_held() == 1);
  CHECK(pool->in_memory() < 40'000);
  DigestList dense(100 * page, pool);
  for (std::uint64_t i = 0; i < dense.size(); ++i) dense.set(i, digest_of(i + 1));
  CHECK(pool->in_memory() <= 200'000);
  const DigestList copy = dense;
  for (std::uint64_t i = 0; i < dense.size(); i += 3 * page) dense.set(i, digest_of(0));
  CHECK(pool->in_memory() <= 200'000);
  for (std::uint64_t i = 0; i < dense.size(); ++i) {
    REQUIRE(copy[i] == digest_of(i + 1));
    REQUIRE(dense[i] == digest_of(i % (3 * page) == 0 ? 0 : i + 1));
  }
}

TEST_CASE("pages that are no more give their room back, in memory and in the file") {
  const auto pool = tiny_pool();
  for (int round = 0; round < 50; ++round) {
    DigestList list(4 * page, pool);
    for (std::uint64_t p = 0; p < 4; ++p) list.set(p * page + page - 1, digest_of(p + 1));
    for (std::uint64_t p = 0; p < 4; ++p) CHECK(list[p * page + page - 1] == digest_of(p + 1));
  }
  CHECK(pool->in_memory() == 0);
  CHECK(pool->pages() == 4);
}

TEST_CASE("a disk that is full where pages go is an error like any other, and nothing is lost by it") {
  // As on a full disk, the file can't grow beyond this size.
  struct rlimit before {};
  ::getrlimit(RLIMIT_FSIZE, &before);
  const auto old_action = std::signal(SIGXFSZ, SIG_IGN);
  const struct rlimit small { 100'000, before.rlim_max };
  ::setrlimit(RLIMIT_FSIZE, &small);
  DigestList list(20 * page, tiny_pool());
  std::uint64_t done = 0;
  const auto fill = [&] {
    for (; done < list.size(); ++done) list.set(done, digest_of(done + 1));
  };
  CHECK_THROWS_AS(fill(), Error);
  ::setrlimit(RLIMIT_FSIZE, &before);
  CHECK(done > page);
  for (std::uint64_t i = 0; i < done; ++i) REQUIRE(list[i] == digest_of(i + 1));
  fill();
  CHECK(list.held() == list.size());
  std::signal(SIGXFSZ, old_action);
}

TEST_CASE("a folder that is not there is told when the first page goes to the file") {
  DigestList list(3 * page, std::make_shared<PagePool>(40'000, "/nonexistent/folder"));
  list.set(0, digest_of(1));
  try {
    list.set(page, digest_of(2));
    FAIL("it was written somewhere");
  } catch (const Error& e) {
    CHECK_THAT(e.what(), Catch::Contains("/nonexistent/folder"));
    CHECK(e.hint() == "set TMPDIR to a folder with room");
  }
}
