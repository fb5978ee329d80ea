// SPDX-License-Identifier: Apache-2.0
#include "cmd/output/markup.hpp"

#include <rapidcheck.h>

#include <catch2/catch.hpp>
#include <limits>
#include <pugixml.hpp>

namespace {

using namespace umbra::cmd;

const std::string replaced = "\xef\xbf\xbd";

}  // namespace

TEST_CASE("text that looks like markup stays text") {
  CHECK(escaped("<b a=\"x\">&amp;</b>") == "&lt;b a=&quot;x&quot;&gt;&amp;amp;&lt;/b&gt;");
  CHECK(escaped("größe 値 \xf0\x9f\x96\xa5") == "größe 値 \xf0\x9f\x96\xa5");
}

TEST_CASE("bytes that no XML may hold are replaced") {
  CHECK(escaped(std::string("a\0b\x01\x7f", 5)) == "a" + replaced + "b" + replaced + replaced);
  CHECK(escaped("\xff\xc3") == replaced + replaced);
  CHECK(escaped("\xc0\xbc") == replaced + replaced);                 // "<" in two bytes
  CHECK(escaped("\xe0\x80\xbc") == replaced + replaced + replaced);  // and in three
  CHECK(escaped("\xed\xa0\x80") == replaced + replaced + replaced);  // half of a pair
  CHECK(escaped("\xef\xbf\xbf") == replaced + replaced + replaced);  // U+FFFF
  CHECK(escaped("\xf4\x90\x80\x80") == replaced + replaced + replaced + replaced);
}

TEST_CASE("any bytes give an element and an attribute that a parser reads back") {
  CHECK(rc::check("of any text", [](const std::string& bytes) {
    Markup out;
    out.element("p", {{"a", bytes}}, bytes);
    const std::string text = out.take();
    pugi::xml_document document;
    RC_ASSERT(document.load_string(text.c_str(), pugi::parse_default | pugi::parse_ws_pcdata));
    RC_ASSERT(escaped(document.child("p").text().get()).find('<') == std::string::npos);
    RC_ASSERT(document.child("p").select_nodes("descendant::*").empty());
  }));
}

TEST_CASE("elements nest, and those without contents close themselves") {
  Markup out;
  out.in("g", {{"class", "a"}}, [&] {
    out.leaf("path", {{"d", "M0 0"}});
    out.text("1 < 2");
  });
  CHECK(out.take() == "<g class=\"a\"><path d=\"M0 0\"/>1 &lt; 2</g>\n");
}

TEST_CASE("a coordinate has one decimal at most and is always a number") {
  CHECK(pixels(1.25) == "1.2");
  CHECK(pixels(3) == "3");
  CHECK(pixels(-0.01) == "0");
  CHECK(pixels(std::numeric_limits<double>::quiet_NaN()) == "0");
  CHECK(pixels(std::numeric_limits<double>::infinity()) == "0");
}
