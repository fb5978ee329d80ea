// SPDX-License-Identifier: Apache-2.0
// XGBoost's library is opened when its first function is called: with all that it brings along it takes a third of the
// start of a program, most of whose verbs forecast nothing. The functions here bear the names of those of its C API
// that are used, and pass each call on.
#include <dlfcn.h>
#include <fmt/core.h>
#include <xgboost/c_api.h>

#include "base/error.hpp"

namespace {

using umbra::base::Error;
using umbra::base::Kind;

constexpr const char* soname = "libxgboost.so.0";  // whose declarations are used here

/// Never closed: threads of its own may run on.
void* library() {
  static void* const opened = ::dlopen(soname, RTLD_NOW | RTLD_LOCAL);
  if (opened == nullptr)
    throw Error(Kind::unsupported, fmt::format("XGBoost can't be opened: {}", ::dlerror()), "apt install libxgboost0");
  return opened;
}

template <class Function>
Function* found(const char* name) {
  void* const place = ::dlsym(library(), name);
  if (place == nullptr) throw Error(Kind::unsupported, fmt::format("this XGBoost has no {}", name));
  return reinterpret_cast<Function*>(place);
}

}  // namespace

#define UMBRA_PASS_ON(name)                                  \
  static const auto function = found<decltype(name)>(#name); \
  return function

extern "C" {

const char* XGBGetLastError() {
  UMBRA_PASS_ON(XGBGetLastError)();
}
void XGBoostVersion(int* major, int* minor, int* patch) {
  UMBRA_PASS_ON(XGBoostVersion)(major, minor, patch);
}
int XGBoosterBoostOneIter(BoosterHandle booster, DMatrixHandle data, float* gradients, float* hessians,
                          bst_ulong rows) {
  UMBRA_PASS_ON(XGBoosterBoostOneIter)(booster, data, gradients, hessians, rows);
}
int XGBoosterCreate(const DMatrixHandle data[], bst_ulong count, BoosterHandle* booster) {
  UMBRA_PASS_ON(XGBoosterCreate)(data, count, booster);
}
int XGBoosterFree(BoosterHandle booster) {
  UMBRA_PASS_ON(XGBoosterFree)(booster);
}
int XGBoosterGetNumFeature(BoosterHandle booster, bst_ulong* columns) {
  UMBRA_PASS_ON(XGBoosterGetNumFeature)(booster, columns);
}
int XGBoosterLoadModelFromBuffer(BoosterHandle booster, const void* bytes, bst_ulong length) {
  UMBRA_PASS_ON(XGBoosterLoadModelFromBuffer)(booster, bytes, length);
}
int XGBoosterPredict(BoosterHandle booster, DMatrixHandle data, int options, unsigned trees, int training,
                     bst_ulong* count, const float** result) {
  UMBRA_PASS_ON(XGBoosterPredict)(booster, data, options, trees, training, count, result);
}
int XGBoosterPredictFromDense(BoosterHandle booster, char const* values, char const* config, DMatrixHandle data,
                              bst_ulong const** shape, bst_ulong* dimensions, const float** result) {
  UMBRA_PASS_ON(XGBoosterPredictFromDense)(booster, values, config, data, shape, dimensions, result);
}
int XGBoosterSaveModelToBuffer(BoosterHandle booster, char const* config, bst_ulong* length, char const** bytes) {
  UMBRA_PASS_ON(XGBoosterSaveModelToBuffer)(booster, config, length, bytes);
}
int XGBoosterSetParam(BoosterHandle booster, const char* name, const char* value) {
  UMBRA_PASS_ON(XGBoosterSetParam)(booster, name, value);
}
int XGBoosterUpdateOneIter(BoosterHandle booster, int round, DMatrixHandle data) {
  UMBRA_PASS_ON(XGBoosterUpdateOneIter)(booster, round, data);
}
int XGDMatrixCreateFromMat(const float* values, bst_ulong rows, bst_ulong columns, float missing, DMatrixHandle* data) {
  UMBRA_PASS_ON(XGDMatrixCreateFromMat)(values, rows, columns, missing, data);
}
int XGDMatrixFree(DMatrixHandle data) {
  UMBRA_PASS_ON(XGDMatrixFree)(data);
}
int XGDMatrixSetFloatInfo(DMatrixHandle data, const char* field, const float* values, bst_ulong count) {
  UMBRA_PASS_ON(XGDMatrixSetFloatInfo)(data, field, values, count);
}
int XGProxyDMatrixCreate(DMatrixHandle* data) {
  UMBRA_PASS_ON(XGProxyDMatrixCreate)(data);
}

}  // extern "C"

#undef UMBRA_PASS_ON
