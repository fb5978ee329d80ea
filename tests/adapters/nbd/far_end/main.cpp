// SPDX-License-Identifier: Apache-2.0
// test_far_end session IMAGES | one-way IMAGES | export PATH FORMAT [bitmap NAME | above FILE]
// | exit STATUS | say TEXT: the last two are far ends that are none.

#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "adapters/nbd/export.hpp"
#include "adapters/nbd/local_points.hpp"
#include "adapters/stream/stream.hpp"
#include "base/error.hpp"

namespace {

umbra::base::CancelToken stop;

extern "C" void ask_to_stop(int number) {
  stop.request(number);
}

int run(const std::vector<std::string>& words) {
  using namespace umbra;
  const std::string& mode = words.at(0);
  if (mode == "exit") return std::stoi(words.at(1));
  if (mode == "say") return std::puts(words.at(1).c_str()) < 0;
  if (mode == "export") {
    ::signal(SIGTERM, ask_to_stop);  // as umbra does: its qemu-nbd has let go of the file when it ends itself
    ports::FileExport file{words.at(1), words.at(2), {}, {}};
    if (words.size() > 4) (words[3] == "bitmap" ? file.bitmap : file.above) = words[4];
    return nbd::serve_file(file, STDIN_FILENO, STDOUT_FILENO, stop);
  }
  nbd::LocalPoints points(words.at(1));
  if (mode == "session")
    stream::serve(points, STDIN_FILENO, STDOUT_FILENO);
  else
    stream::receive_one_way(points, STDIN_FILENO);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);
  try {
    return run({argv + 1, argv + argc});
  } catch (const std::exception& e) {
    std::fprintf(stderr, "test_far_end: %s\n", e.what());
    return 1;
  }
}
