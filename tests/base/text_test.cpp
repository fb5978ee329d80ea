// SPDX-License-Identifier: Apache-2.0
#include "base/text.hpp"

#include <rapidcheck.h>
#include <catch2/catch.hpp>
#include <sstream>

using namespace umbra::base;

TEST_CASE("a swap, a lost, an added and a wrong letter are one slip each") {
  CHECK(edit_distance("window", "windwo") == 1);
  CHECK(edit_distance("window", "windw") == 1);
  CHECK(edit_distance("window", "winddow") == 1);
  CHECK(edit_distance("window", "wimdow") == 1);
  CHECK(edit_distance("Window", "window") == 0);
  CHECK(edit_distance("", "abc") == 3);
}

TEST_CASE("the distance is the same both ways, and zero for equal words") {
  rc::check([](const std::string& a, const std::string& b) {
    RC_ASSERT(edit_distance(a, b) == edit_distance(b, a));
    RC_ASSERT(edit_distance(a, a) == 0u);
    RC_ASSERT(edit_distance(a, b) <= std::max(a.size(), b.size()));
  });
}

TEST_CASE("the nearest candidate is found, and none where all are far") {
  const std::vector<std::string> vms{"web1", "web2", "db1", "mail"};
  CHECK(nearest("wbe1", vms) == "web1");
  CHECK(nearest("web", vms) == "web1");
  CHECK(nearest("db2", vms) == "db1");
  CHECK_FALSE(nearest("storage", vms));
  CHECK_FALSE(nearest("", vms));
  CHECK_FALSE(nearest("x", {"y"}));
  CHECK(did_you_mean("maill", vms) == "; did you mean \"mail\"?");
  CHECK(did_you_mean("storage", vms).empty());
}

TEST_CASE("a word for a shell stands as it is where it is safe, else in single quotes") {
  CHECK(shell_word("web1") == "web1");
  CHECK(shell_word("qemu+unix:///system?socket=/run/a") == "'qemu+unix:///system?socket=/run/a'");
  CHECK(shell_word("qemu:///system") == "qemu:///system");
  CHECK(shell_word("big vm") == "'big vm'");
  CHECK(shell_word("it's") == "'it'\\''s'");
  CHECK(shell_word("$(reboot)") == "'$(reboot)'");
  CHECK(shell_word("") == "''");
}

TEST_CASE("words fill lines up to the width, whatever lines they came in") {
  CHECK(filled("", 10).empty());
  CHECK(filled("one two\nthree  four", 9) == "one two\nthree\nfour");
  CHECK(filled("one two three", 13) == "one two three");
  CHECK(filled("one two three", 12) == "one two\nthree");
  CHECK(filled("one two three four", 12, 4) == "one two\n    three\n    four");
  CHECK(filled("a-very-long-word b", 6, 2) == "a-very-long-word\n  b");
}

TEST_CASE("filling loses no word, and no line is too long that has a choice") {
  CHECK(rc::check("any words", [] {
    std::string text;
    std::vector<std::string> words;
    for (const int length : *rc::gen::container<std::vector<int>>(rc::gen::inRange(1, 14))) {
      words.emplace_back(static_cast<std::size_t>(length), 'x');
      text += words.back() + (length % 3 == 0 ? "\n" : " ");
    }
    const auto width = *rc::gen::inRange<std::size_t>(4, 40);
    std::istringstream lines(filled(text, width));
    std::vector<std::string> found;
    for (std::string line; std::getline(lines, line);) {
      RC_ASSERT((line.size() <= width || line.find(' ') == std::string::npos));
      std::istringstream in(line);
      for (std::string word; in >> word;) found.push_back(word);
    }
    RC_ASSERT(found == words);
  }));
}

TEST_CASE("text is UTF-8 where each of its characters is whole, shortest and a character") {
  for (const char* good : {"", "web1", "B\xC3\xBCro", "\xE2\x82\xAC", "\xF0\x9F\x98\x80", "\xF4\x8F\xBF\xBF"})
    CHECK(is_utf8(good));
  for (const char* bad :
       {"B\xFCro", "\xC3", "\xE2\x82", "\xC0\xAF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\x80"})
    CHECK_FALSE(is_utf8(bad));
}

TEST_CASE("what a message shows of foreign text steers no terminal, and is short") {
  CHECK(shown("0.5") == "0.5");
  CHECK(shown("B\xC3\xBCro") == "B\xC3\xBCro");
  CHECK(shown("\x1B[2Ja\x7F\xC2\x9B"
              "b\xFC\xC3") == "?[2Ja??b??");
  CHECK(shown(std::string(100000, 'x')) == std::string(60, 'x') + "...");
  rc::check([](const std::string& text) { RC_ASSERT((is_utf8(shown(text)) && shown(text).size() <= 66u)); });
}
