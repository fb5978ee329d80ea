// SPDX-License-Identifier: Apache-2.0
#include "adapters/metrics/nvml.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>

#include "base/error.hpp"

namespace {

using namespace umbra;
using metrics::Nvml;

class Saying {
 public:
  explicit Saying(const char* what) { ::setenv("UMBRA_FAKE_NVML", what, 1); }
  ~Saying() { ::unsetenv("UMBRA_FAKE_NVML"); }
  Saying(const Saying&) = delete;
  Saying& operator=(const Saying&) = delete;
};

}  // namespace

TEST_CASE("the GPUs of this machine are read, and what its virtual ones do for their VMs") {
  const auto nvml = Nvml::open(UMBRA_FAKE_NVML_LIBRARY);
  REQUIRE(nvml);
  const metrics::GpuReading reading = nvml->read();
  CHECK(reading.gpus == 2);
  CHECK(reading.host.gpu == 0.75);  // the second does not tell
  CHECK(reading.host.gpu_memory == 0.5);
  REQUIRE(reading.by_vm.size() == 1);
  CHECK(reading.by_vm[0].first.get() == "6c46433b-a559-4661-b7cf-050811bfebd7");
  CHECK(*reading.by_vm[0].second.gpu == Approx(0.5));  // of its two, the newest sample of each
  CHECK(reading.by_vm[0].second.gpu_memory == 0.25);
}

TEST_CASE("without the library or a driver there is no GPU") {
  CHECK_FALSE(Nvml::open("/no/such/libnvidia-ml.so.1"));
  const Saying saying("no-driver");
  CHECK_FALSE(Nvml::open(UMBRA_FAKE_NVML_LIBRARY));
}

TEST_CASE("a library that is another is named") {
  try {
    Nvml::open("libm.so.6");
    FAIL("it was taken");
  } catch (const base::Error& e) {
    CHECK(e.kind() == base::Kind::unsupported);
    CHECK(std::string(e.what()).find("libm.so.6") == 0);
  }
}

TEST_CASE("a driver that fails is told with its own words") {
  const auto nvml = Nvml::open(UMBRA_FAKE_NVML_LIBRARY);
  const Saying saying("broken");
  CHECK_THROWS_WITH(nvml->read(), Catch::EndsWith("count the GPUs: GPU is lost"));
}

TEST_CASE("what no GPU can do is not known, and the rest of the reading stands") {
  const auto nvml = Nvml::open(UMBRA_FAKE_NVML_LIBRARY);
  const Saying saying("absurd");
  const metrics::GpuReading reading = nvml->read();
  CHECK_FALSE(reading.host.gpu);
  CHECK(reading.host.gpu_memory == 0.5);
  REQUIRE(reading.by_vm.size() == 1);
  CHECK(*reading.by_vm[0].second.gpu == Approx(0.6));  // of its two, the one that makes sense
}

TEST_CASE("GPU figures go to the VM of the uuid and to the host") {
  metrics::GpuReading reading;
  reading.gpus = 1;
  reading.host = {0.5, std::nullopt};
  reading.by_vm = {{model::Uuid("u-1"), {0.25, 0.75}}};
  std::vector<model::Counters> counters(4);
  counters[0].uuid = model::Uuid("u-1");
  counters[1].uuid = model::Uuid("u-2");
  counters[2].host = model::HostName("alpha");
  counters[3].host = model::HostName("beta");
  metrics::add_gpus(reading, model::HostName("alpha"), counters);
  CHECK(counters[0].gpu == 0.25);
  CHECK(counters[0].gpu_memory == 0.75);
  CHECK_FALSE(counters[1].gpu);
  CHECK(counters[2].gpu == 0.5);
  CHECK_FALSE(counters[3].gpu);
  counters[2].gpu.reset();
  reading.gpus = 0;
  metrics::add_gpus(reading, model::HostName("alpha"), counters);
  CHECK_FALSE(counters[2].gpu);
}
