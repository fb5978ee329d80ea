// SPDX-License-Identifier: Apache-2.0
// guestd: the one program of a lab guest, and the clients that measure it from outside. See usage below.
#include "guestd.hpp"
#include "ring.hpp"

#include <cstdio>
#include <cstring>
#include <exception>

static const char usage_text[] =
    "guestd serve [umbra.KEY=VALUE]...       inside the guest: echo, numbered writes, loads (see serve.cpp)\n"
    "guestd check FILE [DISK-BYTES]          every number there, none torn? FILE: a raw disk, or the front of one\n"
    "guestd probe ADDR [--for S] [--until-file F] [--interval-ms N]\n"
    "guestd writes ADDR [--for S] [--until-file F] [--count N] [--rate PER-S] [--log FILE]\n"
    "guestd ask ADDR PORT [--for S] [LINE]   one line out, one line in; tries again until S seconds have passed\n";

int check(const std::vector<std::string>& words) {
  if (words.empty() || words.size() > 2) {
    std::fputs(usage_text, stderr);
    return 2;
  }
  const Ring ring(words[0], Ring::Mode::Read, words.size() == 2 ? std::stoull(words[1]) : 0);
  const auto report = ring.check();
  std::puts(report.json().c_str());
  return report.ok() ? 0 : 1;
}

int main(int argc, char** argv) {
  const std::string verb = argc > 1 ? argv[1] : "";
  const std::vector<std::string> words(argv + (argc > 1 ? 2 : argc), argv + argc);
  try {
    if (verb == "serve") return serve(words);
    if (verb == "check") return check(words);
    if (verb == "probe") return probe(words);
    if (verb == "writes") return writes(words);
    if (verb == "ask") return ask(words);
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "guestd %s: %s\n", verb.c_str(), failure.what());
    return 1;
  }
  std::fputs(usage_text, verb == "--help" ? stdout : stderr);
  return verb == "--help" ? 0 : 2;
}
