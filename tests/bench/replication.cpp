// SPDX-License-Identifier: Apache-2.0
// Replication beside its peers: CPU seconds of all processes on both sides, wall time, and bytes that travelled. All do
// the same work in turns; the last columns are the peer's figure as a multiple of Umbra's, above 1 where Umbra is
// better.
//   bench_replication [--size MIB] [--data MIB] [--rounds N] [--dir DIR] [CASE...]
// virtnbdbackup needs a running VM: tests/bench/running_vm has it.
// Cases: full link incremental digest verify start. `link` needs root: two network namespaces, 1 Gb/s between them.
#include <fmt/core.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <set>
#include <stdexcept>

#include "replication/images.hpp"
#include "replication/measured.hpp"
#include "replication/pass.hpp"

using namespace umbra;
using bench::Aim;
using bench::Contender;
using bench::Cost;
using bench::cost_of;
using bench::cost_of_shell;
using bench::prepare;

namespace {

namespace fs = std::filesystem;

struct Bench {
  bench::ImageShape shape{4096ull << 20, 1024ull << 20};
  unsigned rounds = 3;
  fs::path dir;
  std::string self;
  std::string umbra;

  std::string file(const std::string& name) const { return dir / name; }
  std::string raw() const {
    if (!fs::exists(file("source.raw"))) bench::make_raw(file("source.raw"), shape);
    return file("source.raw");
  }
  /// A pass as a process; `way` as in pass.hpp.
  Cost pass(const std::string& source, const std::string& format, const std::string& bitmap, const std::string& into,
            const std::string& way, bool read_back) const {
    return cost_of({self, "--as", "pass", source, format, bitmap, into, way, read_back ? "1" : "0"});
  }
};

std::string rsync_bytes(const std::string& command) {
  return command +
         " --stats | awk '/^Total bytes (sent|received)/ { gsub(\",\", \"\"); sum += $4 } END { printf "
         "\"bytes %d\\n\", sum }'";
}

/// nbdcopy's own ways to be run with the same servers, and with the image read as a file.
std::vector<Contender> nbdcopies(const std::string& from, const std::string& target, const std::string& reset) {
  std::vector<Contender> settings;
  const std::string served = "[ qemu-nbd -r -f raw " + from + " ]";
  const auto add = [&](const std::string& source, const std::string& options, const std::string& shown) {
    settings.push_back({"nbdcopy " + shown, [reset] { prepare(reset); },
                        [=] { return cost_of_shell("nbdcopy --flush " + options + " -- " + source + " " + target); }});
  };
  add(served, "", "");
  add(served, "--synchronous", "--synchronous");
  add(served, "--connections=1 --threads=1 --requests=16 --request-size=262144", "1 connection, 16 x 256 KiB");
  add(from, "--synchronous", "file, --synchronous");
  add(from, "--connections=1 --threads=1 --requests=16 --request-size=262144", "file, 1 connection, 16 x 256 KiB");
  return settings;
}

std::string empty_qcow2(const Bench& b, const std::string& path) {
  return fmt::format("rm -f {0}; qemu-img create -q -f qcow2 {0} {1}", path, b.shape.size);
}

void full(const Bench& b) {
  const std::string from = b.raw();
  const std::string into = b.file("shadows");
  const std::string copy = b.file("copy");
  const auto reset = [=] { prepare("rm -rf " + into); };
  const auto own = [&](const std::string& name, const std::string& way, bool read_back) {
    return Contender{name, reset, [=, &b] { return b.pass(from, "raw", "-", into, way, read_back); }};
  };
  std::vector<Contender> contenders{own("umbra", "local", false), own("umbra, through a session", "session", false),
                                    own("umbra, and read back", "local", true)};
  std::vector<std::string> missing;
  if (bench::has_tool("nbdcopy"))
    contenders.push_back(bench::best_of(nbdcopies(from, "[ qemu-nbd -f qcow2 " + copy + " ]", empty_qcow2(b, copy))));
  else
    missing.push_back("nbdcopy");
  contenders.push_back(
      {"qemu-img convert", [=] { prepare("rm -f " + copy); },
       [=] { return cost_of_shell("qemu-img convert -t writeback -f raw -O qcow2 " + from + " " + copy); }});
  if (bench::has_tool("rsync"))
    contenders.push_back({"rsync", [=] { prepare("rm -f " + copy); },
                          [=] { return cost_of_shell(rsync_bytes("rsync -S --fsync " + from + " " + copy)); }});
  else
    missing.push_back("rsync");
  bench::compare("full pass", contenders, missing, {{"nbdcopy", Aim::Of::cpu, 0.8}}, b.rounds);
  prepare("rm -rf " + into + " " + copy);
}

/// Two namespaces with 1 Gb/s between them; what went over it is counted.
class Link {
 public:
  Link() {
    down();
    prepare(
        "ip netns add ub-a; ip netns add ub-b; ip link add ub-va netns ub-a type veth peer name ub-vb netns ub-b; "
        "ip -n ub-a addr add 10.99.0.1/24 dev ub-va; ip -n ub-b addr add 10.99.0.2/24 dev ub-vb; "
        "for e in a b; do ip -n ub-$e link set lo up; ip -n ub-$e link set ub-v$e up; "
        "tc -n ub-$e qdisc add dev ub-v$e root tbf rate 1gbit burst 256kb latency 50ms; done");
  }
  ~Link() { down(); }
  /// `far` is run in the background on the other side until it has a listener; `near` is run on this side.
  static Cost run(const std::string& far, unsigned port, const std::string& near) {
    const std::string count = "$(ip netns exec ub-a cat /sys/class/net/ub-va/statistics/tx_bytes)";
    return cost_of_shell(fmt::format(
        "ip netns exec ub-b {} & far=$!; for i in $(seq 500); do ip netns exec ub-b ss -Hltn sport = :{} | grep -q . "
        "&& "
        "break; sleep 0.01; done; before={}; ip netns exec ub-a {}; after={}; kill $far 2>/dev/null || true; wait; "
        "echo bytes $((after - before))",
        far, port, count, near, count));
  }

 private:
  static void down() {
    for (const char* ns : {"ub-a", "ub-b"}) prepare(fmt::format("ip netns del {} 2>/dev/null || true", ns));
  }
};

void link(const Bench& b) {
  if (::geteuid() != 0 || !bench::has_tool("tc")) {
    fmt::print("\nfull pass over 1 Gb/s: missing, it needs root and tc\n");
    return;
  }
  const Link between;
  const std::string from = b.raw();
  const std::string into = b.file("shadows");
  const std::string copy = b.file("copy");
  const std::string server = fmt::format("qemu-nbd -f qcow2 -b 10.99.0.2 -p 10809 {}", copy);
  std::vector<Contender> contenders{{"umbra", [=] { prepare("rm -rf " + into); },
                                     [=, &b] {
                                       return Link::run(
                                           b.self + " --as listen 7001 " + into, 7001,
                                           b.self + " --as pass " + from + " raw - " + into + " dial:10.99.0.2:7001 0");
                                     }}};
  std::vector<std::string> missing;
  const std::string reset = empty_qcow2(b, copy);
  if (bench::has_tool("nbdcopy")) {
    std::vector<Contender> settings;
    for (const std::string options :
         {"--synchronous", "--connections=1 --threads=1 --requests=16 --request-size=262144"})
      settings.push_back({"nbdcopy " + options, [=] { prepare(reset); },
                          [=] {
                            return Link::run(server, 10809,
                                             "nbdcopy --flush " + options + " -- [ qemu-nbd -r -f raw " + from +
                                                 " ] nbd://10.99.0.2");
                          }});
    contenders.push_back(bench::best_of(settings));
  } else {
    missing.push_back("nbdcopy");
  }
  contenders.push_back({"qemu-img convert", [=] { prepare(reset); },
                        [=] {
                          return Link::run(
                              server, 10809,
                              "qemu-img convert -n --target-is-zero -f raw -O raw " + from + " nbd://10.99.0.2");
                        }});
  if (bench::has_tool("rsync")) {
    const std::string conf = b.file("rsyncd.conf");
    prepare(fmt::format("printf 'use chroot = no\\nuid = root\\ngid = root\\n[b]\\npath = {}\\nread only = no\\n' >{}",
                        b.dir.string(), conf));
    for (const std::string packed : {"", "-z --compress-choice=zstd --compress-level=1 "})
      contenders.push_back({packed.empty() ? "rsync" : "rsync -z (zstd -1)", [=] { prepare("rm -f " + copy); },
                            [=] {
                              return Link::run("rsync --daemon --no-detach --port 8730 --config " + conf, 8730,
                                               "rsync -S --fsync " + packed + from + " rsync://10.99.0.2:8730/b/copy");
                            }});
  } else {
    missing.push_back("rsync");
  }
  std::vector<Aim> aims;
  for (const char* peer : {"nbdcopy", "qemu-img", "rsync"}) aims.push_back({peer, Aim::Of::wall, 1.0});
  bench::compare("full pass over 1 Gb/s", contenders, missing, aims, b.rounds);
  prepare("rm -rf " + into + " " + copy);
}

/// The first point is there, read back; the source holds a bitmap of what was written since.
void incremental(const Bench& b) {
  const std::string into = b.file("shadows");
  const std::string source = b.file("source.qcow2");
  const std::string copy = b.file("copy");
  const bool rsync = bench::has_tool("rsync");
  for (const double percent : {0.1, 1.0, 5.0, 20.0}) {
    prepare(fmt::format("rm -rf {2} {1} {3}.raw; qemu-img convert -f raw -O qcow2 {0} {1}; qemu-img bitmap --add {1} b",
                        b.raw(), source, into, source));
    b.pass(source, "qcow2", "-", into, "local", true);
    prepare(fmt::format("cp --sparse=always {} {}", b.raw(), copy));
    bench::dirty(source, "qcow2", percent / 100, 1);
    // rsync goes back and forth between two images: each time the same amount differs.
    prepare(fmt::format("qemu-img convert -O raw {0} {0}.raw", source));
    const auto undo = [=] { bench::forget_second(into); };
    std::vector<Contender> contenders;
    for (const std::string way : {"session", "local"})
      contenders.push_back({way == "local" ? "umbra, no session" : "umbra", undo,
                            [=, &b] { return b.pass(source, "qcow2", "b", into, way, true); }});
    std::vector<std::string> missing;
    if (rsync)
      contenders.push_back({"rsync --inplace", {}, [=, &b, turn = std::make_shared<unsigned>(0)] {
                              const std::string from = (*turn)++ % 2 == 0 ? source + ".raw" : b.raw();
                              return cost_of_shell(
                                  rsync_bytes("rsync -I --inplace --no-whole-file --fsync " + from + " " + copy));
                            }});
    else
      missing.push_back("rsync");
    std::vector<Aim> aims;
    if (percent == 1.0) aims = {{"rsync", Aim::Of::cpu, 10}};
    bench::compare(fmt::format("incremental, {} % dirty, read back", percent), contenders, missing, aims, b.rounds);
  }
  prepare(fmt::format("rm -rf {} {} {} {}.raw", into, source, copy, source));
}

/// No bitmap: the disk is read once, 1 % of it differs from the newest point.
void digest(const Bench& b) {
  const std::string into = b.file("shadows");
  const std::string changed = b.file("changed.raw");
  const std::string copy = b.file("copy");
  const std::string repository = b.file("borg");
  prepare(fmt::format("rm -rf {} {}; cp --sparse=always {} {}; cp --sparse=always {} {}", into, repository, b.raw(),
                      changed, b.raw(), copy));
  b.pass(b.raw(), "raw", "-", into, "local", true);
  bench::dirty(changed, "raw", 0.01, 2);
  std::vector<Contender> contenders{{"umbra", [=] { bench::forget_second(into); },
                                     [=, &b] { return b.pass(changed, "raw", "-", into, "session", false); }}};
  std::vector<std::string> missing;
  if (bench::has_tool("rsync"))
    contenders.push_back({"rsync --inplace", {}, [=, &b, turn = std::make_shared<unsigned>(0)] {
                            const std::string from = (*turn)++ % 2 == 0 ? changed : b.raw();
                            return cost_of_shell(
                                rsync_bytes("rsync -I --inplace --no-whole-file --fsync " + from + " " + copy));
                          }});
  else
    missing.push_back("rsync");
  const std::string borg = "BORG_BASE_DIR=" + b.file("borg-home") + " borg ";
  if (bench::has_tool("borg")) {
    const std::string create = borg + "create --files-cache=disabled -C zstd,1 ";
    prepare(borg + "init -e none " + repository + "; " + create + repository + "::first " + b.raw());
    contenders.push_back({"borg create, the second",
                          [=] {
                            prepare(borg + "delete " + repository + "::second 2>/dev/null || true; " + borg +
                                    "compact " + repository);
                          },
                          [=] { return cost_of_shell(create + repository + "::second " + changed); }});
  } else {
    missing.push_back("borg");
  }
  fmt::print("\n(changed: {:.1f} MB)", 0.01e-6 * static_cast<double>(b.shape.size));
  bench::compare("digest pass, 1 % differs", contenders, missing, {{"rsync", Aim::Of::cpu, 1.5}}, b.rounds);
  prepare(fmt::format("rm -rf {} {} {} {}*", into, changed, copy, repository));
}

void verify(const Bench& b) {
  const std::string into = b.file("shadows");
  const std::string from = b.raw();
  prepare("rm -rf " + into);
  b.pass(from, "raw", "-", into, "local", false);
  const std::string layer = into + "/umbra/bench/point-000001/vda.qcow2";
  const auto both = [&](const std::string& title, const std::function<void()>& before) {
    bench::compare(title,
                   {{"umbra", before,
                     [=, &b] {
                       return cost_of({b.self, "--as", "verify", into});
                     }},
                    {"qemu-img compare", before,
                     [=] {
                       return cost_of({"qemu-img", "compare", "-f", "raw", "-F", "qcow2", from, layer});
                     }}},
                   {}, {{"qemu-img", Aim::Of::wall, 1.5}, {"qemu-img", Aim::Of::cpu, 1.5}}, b.rounds);
  };
  // Umbra reads the disk in both: what the kernel holds says nothing of what is there.
  both("verify; the peer from the kernel's cache", {});
  both("verify, both from the disk", [=] {
    for (const std::string& file : {from, layer})
      prepare("dd of=" + file + " oflag=nocache conv=notrunc,fdatasync count=0 2>/dev/null");
  });
  prepare("rm -rf " + into);
}

/// Ten starts in one go: one is too short to measure.
void start(const Bench& b) {
  const auto ten = [](const std::string& name, const std::string& command) {
    return Contender{name + ", 10 starts", {}, [=] {
                       return cost_of_shell("for i in 1 2 3 4 5 6 7 8 9 10; do " + command + " >/dev/null; done");
                     }};
  };
  std::vector<Contender> contenders{ten("umbra --version", b.umbra + " --version"),
                                    ten("umbra receive --session", b.umbra + " receive --session </dev/null || true")};
  std::vector<std::string> missing;
  for (const std::string tool : {"nbdinfo", "qemu-img", "virsh", "borg"}) {
    if (bench::has_tool(tool))
      contenders.push_back(ten(tool + " --version", tool + " --version"));
    else
      missing.push_back(tool);
  }
  bench::compare("start-up (aim: below 0.25 s for 10)", contenders, missing, {}, b.rounds);
}

int run(const std::vector<std::string>& words) {
  Bench b;
  b.self = fs::read_symlink("/proc/self/exe");
  b.umbra = UMBRA_BIN;
  std::set<std::string> cases;  // empty: all
  std::string below = fs::temp_directory_path();
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "--size")
      b.shape.size = std::stoull(words.at(++i)) << 20;
    else if (words[i] == "--data")
      b.shape.data = std::stoull(words.at(++i)) << 20;
    else if (words[i] == "--rounds")
      b.rounds = static_cast<unsigned>(std::stoul(words.at(++i)));
    else if (words[i] == "--dir")
      below = words.at(++i);
    else
      cases.insert(words[i]);
  }
  std::string made = below + "/umbra-bench-XXXXXX";
  if (::mkdtemp(made.data()) == nullptr) throw std::runtime_error("no folder in " + below);
  b.dir = made;
  fmt::print("{} MiB holding {} MiB, medians of {} rounds; CPU and wall at the end of a line: the peer's / umbra's\n",
             b.shape.size >> 20, b.shape.data >> 20, b.rounds);
  using Case = std::pair<const char*, void (*)(const Bench&)>;
  int status = 0;
  for (const auto& [name, what] : {Case{"full", full}, Case{"link", link}, Case{"incremental", incremental},
                                   Case{"digest", digest}, Case{"verify", verify}, Case{"start", start}}) {
    if (!cases.empty() && !cases.contains(name)) continue;
    try {
      what(b);
    } catch (const std::exception& e) {
      fmt::print("\n{}: {}\n", name, e.what());
      status = 1;
    }
  }
  fs::remove_all(b.dir);
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  try {
    if (!words.empty() && words[0] == "--as") return bench::act_as({words.begin() + 1, words.end()});
    return run(words);
  } catch (const std::exception& e) {
    fmt::print(stderr, "bench_replication: {}\n", e.what());
    return 1;
  }
}
