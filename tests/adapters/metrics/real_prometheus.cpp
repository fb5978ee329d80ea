// SPDX-License-Identifier: Apache-2.0
// The real server, loaded with a recorded series, behind TLS and a password; or behind a gate that wants a token.
#include <arpa/inet.h>
#include <fmt/core.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <map>

#include "adapters/metrics/prometheus.hpp"
#include "base/error.hpp"
#include "base/fd.hpp"
#include "base/process.hpp"
#include "server.hpp"

namespace {

using namespace umbra;
using model::Resource;
namespace fs = std::filesystem;

constexpr std::int64_t t0 = 1700000040;   // a whole minute
constexpr std::int64_t gap = t0 + 3600;   // nothing was scraped from here
constexpr std::int64_t back = t0 + 4800;  // to here; the guest has started anew since
constexpr std::int64_t end = t0 + 7200;

/// Scraped every 15 s: 2 CPUs of which half of one was busy, then a whole one; memory, network and disk; a DCGM
/// exporter in the guest.
std::string recorded() {
  std::map<std::string, std::string> families;
  const auto add = [&](const std::string& name, const std::string& labels, std::int64_t t, double value) {
    families[name] += fmt::format("{}{{{}}} {} {}\n", name, labels, value, t);
  };
  const std::string vm = "domain=\"web1\",instance=\"10.0.0.1:9177\"";
  const std::string gpu = "gpu=\"0\",Hostname=\"web1\",instance=\"10.1.0.5:9400\"";
  for (std::int64_t t = t0; t <= end; t += 15) {
    if (t > gap && t < back) continue;
    const auto since = static_cast<double>(t < back ? t - t0 : t - back);
    const double cpu_s = t < back ? 1000 + since * 0.5 : since;
    add("libvirt_domain_info_cpu_time_seconds_total", vm, t, cpu_s);
    add("libvirt_domain_info_virtual_cpus", vm, t, 2);
    add("libvirt_domain_memory_stats_available_bytes", vm, t, 4e9);
    add("libvirt_domain_memory_stats_usable_bytes", vm, t, 3e9);
    add("libvirt_domain_interface_stats_receive_bytes_total", vm + ",target_device=\"vnet0\"", t, since * 1e6);
    add("libvirt_domain_interface_stats_transmit_bytes_total", vm + ",target_device=\"vnet0\"", t, since * 3e6);
    add("libvirt_domain_info_meta", vm + ",uuid=\"6c46433b-a559-4661-b7cf-050811bfebd7\"", t, 1);
    add("DCGM_FI_DEV_GPU_UTIL", gpu, t, 40);
    add("DCGM_FI_DEV_FB_USED", gpu, t, 6000);
    add("DCGM_FI_DEV_FB_FREE", gpu, t, 18000);
  }
  std::string text;
  for (const auto& [name, samples] : families) text += samples;
  return text + "# EOF\n";
}

void must_run(const base::Argv& argv) {
  const base::Finished finished = base::run(argv, "", base::Millis(60000));
  INFO(base::to_shell(argv) << "\n" << finished.out);
  REQUIRE(finished.status == 0);
}

void need(const base::Argv& argv) {
  bool there = false;
  try {
    there = base::run(argv, "", base::Millis(10000)).status == 0;
  } catch (const base::Error&) {
  }
  if (there) return;
  fmt::print(stderr, "SKIPPED: {} is not installed\n", argv.front());
  std::exit(77);
}

/// A port that was free a moment ago.
int free_port() {
  const base::UniqueFd socket(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  REQUIRE(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), size) == 0);
  REQUIRE(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
  return ntohs(address.sin_port);
}

class Loaded {
 public:
  Loaded() {
    need({"prometheus", "--version"});
    need({"promtool", "--version"});
    need({"openssl", "version"});
    std::string name = (fs::temp_directory_path() / "umbra-prometheus-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    m_dir = name;
    base::write_file_atomic(m_dir / "samples", recorded());
    base::write_file_atomic(m_dir / "prometheus.yml", "global: {}\n");
    // The password is "test"; the hash is the one of the server's guide to basic authentication.
    base::write_file_atomic(m_dir / "web.yml",
                            "tls_server_config: { cert_file: cert.pem, key_file: key.pem }\n"
                            "basic_auth_users: { me: $2b$12$hNf2lSsxfm0.i4a.1kVpSOVyBCfIB51VRjgBUyv6kdnyTlgWj81Ay }\n");
    must_run({"promtool", "tsdb", "create-blocks-from", "openmetrics", m_dir / "samples", m_dir / "tsdb"});
    make_certificate("cert.pem", "key.pem");
    const std::string address = fmt::format("127.0.0.1:{}", free_port());
    m_server = base::spawn(
        {"prometheus", "--config.file=" + (m_dir / "prometheus.yml").string(),
         "--web.config.file=" + (m_dir / "web.yml").string(), "--web.listen-address=" + address,
         "--storage.tsdb.path=" + (m_dir / "tsdb").string(), "--storage.tsdb.retention.time=100y", "--log.level=error"},
        false, false);
    options.url = "https://me:test@" + address;
    options.http.ca = m_dir / "cert.pem";
    wait_until_ready();
  }
  ~Loaded() {
    m_server.kill(15);
    m_server.wait();
    std::error_code ignored;
    fs::remove_all(m_dir, ignored);
  }
  Loaded(const Loaded&) = delete;
  Loaded& operator=(const Loaded&) = delete;

  /// A file of that content beside the server's own.
  fs::path file(const std::string& name, const std::string& content) const {
    base::write_file_atomic(m_dir / name, content, 0600);
    return m_dir / name;
  }
  fs::path path(const std::string& name) const { return m_dir / name; }
  /// Of this machine's loopback, signed by itself.
  void make_certificate(const std::string& cert, const std::string& key) const {
    must_run({"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
              "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", m_dir / key, "-out",
              m_dir / cert});
  }

  metrics::PrometheusOptions options;

 private:
  void wait_until_ready() const {
    metrics::Http http(options.http);
    for (int tries = 0; tries < 300; ++tries) {
      try {
        http.get(options.url + "/-/ready");
        return;
      } catch (const base::Error&) {
        ::usleep(100'000);
      }
    }
    FAIL("the server does not become ready");
  }

  fs::path m_dir;
  base::Child m_server;
};

base::Instant at(std::int64_t unix_s) {
  return base::Instant(base::Millis(unix_s * 1000));
}

/// Its pieces put together.
std::map<model::Uuid, model::Series> taken(const metrics::PrometheusOptions& options) {
  std::map<model::Uuid, model::Series> all;
  metrics::prometheus(options)->range(
      {at(t0 - 3600), at(end + 3600), base::Seconds{60}, {}}, [&](const std::vector<model::Series>& piece) {
        for (const model::Series& one : piece) {
          model::Series& whole = all.try_emplace(one.uuid, model::Series{one.vm, one.uuid, one.host, {}}).first->second;
          whole.samples.insert(whole.samples.end(), one.samples.begin(), one.samples.end());
        }
      });
  return all;
}

base::Error failure(const metrics::PrometheusOptions& options) {
  try {
    taken(options);
  } catch (const base::Error& e) {
    return e;
  }
  return base::Error(base::Kind::internal, "it answered");
}

}  // namespace

TEST_CASE("the real server gives what was recorded, and its gaps as gaps") {
  const Loaded server;
  const auto all = taken(server.options);
  REQUIRE(all.size() == 1);
  const model::Series& web = all.begin()->second;
  CHECK(web.uuid.get() == "6c46433b-a559-4661-b7cf-050811bfebd7");
  CHECK(web.vm.get() == "web1");
  CHECK(web.host.get() == "10.0.0.1");
  std::size_t whole = 0;
  for (const model::Sample& sample : web.samples) {
    const std::int64_t t = sample.at.time_since_epoch().count() / 1000;
    INFO("second " << t - t0);
    CHECK(t % 60 == 0);
    CHECK((t <= gap + 120 || t >= back));
    CHECK((t >= t0 && t <= end + 120));
    if (sample[Resource::cpu]) CHECK(*sample[Resource::cpu] <= (t < back ? 0.25 : 0.5) + 1e-9);
    // Where the two minutes before were scraped from end to end.
    const bool before = t >= t0 + 120 && t <= gap;
    if (!before && !(t >= back + 120 && t <= end)) continue;
    ++whole;
    CHECK(*sample[Resource::cpu] == Approx(before ? 0.25 : 0.5));
    CHECK(*sample[Resource::memory] == Approx(0.25));
    CHECK(*sample[Resource::net] == Approx(4e6 / 125e6));
    CHECK(*sample[Resource::gpu] == Approx(0.4));
    CHECK(*sample[Resource::gpu_memory] == Approx(0.25));
    CHECK_FALSE(sample[Resource::disk]);
  }
  CHECK(whole == 59 + 39);

  SECTION("a certificate that nothing vouches for is not taken") {
    metrics::PrometheusOptions options = server.options;
    options.http.ca.clear();
    const base::Error error = failure(options);
    CHECK(error.kind() == base::Kind::unreachable);
    CHECK(error.hint().find("[metrics] ca") != std::string::npos);
    CHECK((error.what() + error.hint()).find("test@") == std::string::npos);
  }
  SECTION("another name than the certificate's is not taken") {
    metrics::PrometheusOptions options = server.options;
    options.url.replace(options.url.find("127.0.0.1"), 9, "localhost");
    CHECK(failure(options).kind() == base::Kind::unreachable);
  }
  SECTION("a wrong password is refused") {
    metrics::PrometheusOptions options = server.options;
    options.url.replace(options.url.find("test@"), 5, "best@");
    CHECK(failure(options).kind() == base::Kind::refused);
  }
  SECTION("an own query that is wrong is told with the server's words") {
    metrics::PrometheusOptions options = server.options;
    options.queries.cpu = "sum(";
    CHECK(std::string(failure(options).what()).find("parse error") != std::string::npos);
  }
}

TEST_CASE("a token from a file opens a server that is behind TLS, and no other token does") {
  const Loaded server;
  // What stands before a server where tokens are asked for: TLS ends here, and what bears the token is passed on.
  const metrics::test::Server gate(R"(
if self.headers.get('Authorization') != 'Bearer opens-it': return 401, 'no such token'
ask = urllib.request.Request(')" + server.options.url.substr(0, 8) +
                                       server.options.url.substr(16) + R"(' + self.path)
ask.add_header('Authorization', 'Basic bWU6dGVzdA==')
try:
    with urllib.request.urlopen(ask, context=ssl._create_unverified_context()) as got: return 200, got.read().decode()
except urllib.error.HTTPError as error: return error.code, error.read().decode())",
                                   server.path("cert.pem"), server.path("key.pem"));
  metrics::PrometheusOptions options = server.options;
  options.url = gate.url();
  options.http.token_file = server.file("token", "opens-it\n");

  SECTION("what it gives is what the server gives") {
    const auto behind = taken(options);
    const auto before = taken(server.options);
    REQUIRE(behind.size() == 1);
    const auto& samples = behind.begin()->second.samples;
    CHECK(samples.size() > 100);
    CHECK(samples.size() == before.begin()->second.samples.size());
    CHECK(samples.back()[Resource::cpu] == before.begin()->second.samples.back()[Resource::cpu]);
  }
  SECTION("another token is refused, and is not told") {
    options.http.token_file = server.file("token", "opens-nothing\n");
    const base::Error error = failure(options);
    CHECK(error.kind() == base::Kind::refused);
    CHECK(error.hint().find("[metrics] token_file") != std::string::npos);
    CHECK((error.what() + error.hint()).find("opens-nothing") == std::string::npos);
  }
  SECTION("an authority that did not sign the certificate makes the server unreachable") {
    server.make_certificate("other.pem", "other-key.pem");
    options.http.ca = server.path("other.pem");
    const base::Error error = failure(options);
    CHECK(error.kind() == base::Kind::unreachable);
    CHECK(std::string(error.what()).find("certificate") != std::string::npos);
    CHECK(error.hint().find("[metrics] ca") != std::string::npos);
  }
  SECTION("a file that holds no token is told before anything is sent") {
    for (const char* content : {"", " \n", "two words", "two\nlines"}) {
      options.http.token_file = server.file("token", content);
      const base::Error error = failure(options);
      CHECK(error.kind() == base::Kind::usage);
      CHECK(std::string(error.what()).find(options.http.token_file) != std::string::npos);
      CHECK(error.hint().find("[metrics] token_file") != std::string::npos);
    }
    options.http.token_file = server.path("no-such-file");
    CHECK(failure(options).kind() == base::Kind::not_found);
    CHECK(failure(options).hint().find("[metrics] token_file") != std::string::npos);
  }
}
