// SPDX-License-Identifier: Apache-2.0
#include "model/units.hpp"

#include <catch2/catch.hpp>

using namespace umbra::model;

TEST_CASE("sizes are read with their unit") {
  CHECK(parse_size("2GiB") == ByteCount{2ull << 30});
  CHECK(parse_size("512 MiB") == ByteCount{512ull << 20});
  CHECK(parse_size("20G") == ByteCount{20ull << 30});
  CHECK(parse_size("20GB") == ByteCount{20'000'000'000});
  CHECK(parse_size("1.5KiB") == ByteCount{1536});
  CHECK(parse_size("4096B") == ByteCount{4096});
  CHECK(parse_size("0") == ByteCount{0});
}

TEST_CASE("a size without a unit, with a wrong one or out of range is none") {
  for (const char* text :
       {"", "20", "GiB", "-1GiB", "2gib", "2 GiB x", "1e3B", "nanGiB", "infB", "9000000PiB", "2GiB/s"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_size(text));
  }
}

TEST_CASE("rates are bytes or bits per second") {
  CHECK(parse_rate("100MiB/s") == ByteRate{100.0 * (1 << 20)});
  CHECK(parse_rate("1Gbit/s") == ByteRate{125e6});
  CHECK(parse_rate("200MB/s") == ByteRate{200e6});
  for (const char* text : {"", "/s", "100MiB", "0MiB/s", "100/s", "1Gb/s", "-1MiB/s"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_rate(text));
  }
}

TEST_CASE("sizes are shown short") {
  CHECK(to_human(ByteCount{0}) == "0 B");
  CHECK(to_human(ByteCount{1536}) == "1.5 KiB");
  CHECK(to_human(ByteCount{20ull << 30}) == "20 GiB");
  CHECK(to_human(ByteRate{125e6}) == "119.2 MiB/s");
}
