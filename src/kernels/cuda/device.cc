#include "kernels/cuda/device.h"

#include <charconv>

#include "base/check.h"
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/libraries.h"

namespace octavo {
namespace cuda {
namespace {

constexpr int kOldestArch = 80;

// Captured launches, instantiated.
class GraphRecording : public Recording {
 public:
  GraphRecording(cudaGraph_t graph, cudaStream_t stream) : stream_(stream) {
    const cudaError_t status = cudaGraphInstantiate(&exec_, graph, 0);
    cudaGraphDestroy(graph);
    check(status, "instantiating a recording");
  }
  ~GraphRecording() override { cudaGraphExecDestroy(exec_); }
  GraphRecording(const GraphRecording&) = delete;
  GraphRecording& operator=(const GraphRecording&) = delete;
  void replay() override { check(cudaGraphLaunch(exec_, stream_), "replaying a recording"); }

 private:
  cudaGraphExec_t exec_ = nullptr;
  cudaStream_t stream_;
};

// An event that is destroyed with its scope.
class Event {
 public:
  Event() { check(cudaEventCreate(&event_), "creating an event"); }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  void record(cudaStream_t stream) { check(cudaEventRecord(event_, stream), "recording an event"); }
  void wait() { check(cudaEventSynchronize(event_), "waiting for an event"); }
  float milliseconds_since(const Event& earlier) const {
    float ms = 0;
    check(cudaEventElapsedTime(&ms, earlier.event_, event_), "reading an event");
    return ms;
  }

 private:
  cudaEvent_t event_ = nullptr;
};

class EventMark : public Mark {
 public:
  explicit EventMark(cudaStream_t stream) { event_.record(stream); }
  void wait() override { event_.wait(); }

 private:
  Event event_;
};

DeviceInfo read_info(int index) {
  cudaDeviceProp p;
  check(cudaGetDeviceProperties(&p, index), "reading a device's properties");
  return {.name = p.name,
          .label = fmt::format("cuda:{}", index),
          .index = index,
          .arch = 10 * p.major + p.minor,
          .processors = p.multiProcessorCount,
          .memory_bytes = p.totalGlobalMem,
          .l2_bytes = static_cast<size_t>(p.l2CacheSize),
          .shared_bytes = p.sharedMemPerBlockOptin};
}

// After these every call of the process fails: its work on the device is lost.
bool is_lasting(cudaError_t status) {
  switch (status) {
    case cudaErrorIllegalAddress:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorHardwareStackError:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorContained:
      return true;
    default:
      return false;
  }
}

}  // namespace

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  const char* text = cudaGetErrorString(status);
  if (is_lasting(status)) {
    OCTAVO_FAIL(device, "{}: {} ({}); the device is lost to this process: start it again", what,
                text, cudaGetErrorName(status));
  }
  switch (status) {
    case cudaErrorMemoryAllocation:
      OCTAVO_FAIL(out_of_memory, "{}: the device is out of memory", what);
    case cudaErrorNoKernelImageForDevice:
      OCTAVO_FAIL(unsupported, "{}: this build has no kernels for the device's architecture", what);
    default:
      OCTAVO_FAIL(device, "{}: {} ({})", what, text, cudaGetErrorName(status));
  }
}

void require_code(const void* kernel, const DeviceInfo& info) {
  cudaFuncAttributes attributes;
  const cudaError_t status = cudaFuncGetAttributes(&attributes, kernel);
  if (status == cudaErrorNoKernelImageForDevice || status == cudaErrorInvalidDeviceFunction) {
    cudaGetLastError();  // not sticky
    OCTAVO_FAIL(unsupported,
                "{} ({}) has compute capability {}.{}; this build has kernels for {} only",
                info.label, info.name, info.arch / 10, info.arch % 10, OCTAVO_CUDA_BUILT_FOR);
  }
  check(status, "reading a kernel's attributes");
}

void fail(const Call& call, const std::string& message) {
  OCTAVO_FAIL(internal, "[{}] {}", call.name, message);
}

cudaStream_t stream_of(const Call& call) { return device_of(call).stream(); }
const DeviceInfo& device_info(const Call& call) { return call.device->info(); }
uint32_t* not_finite_flag(const Call& call) { return device_of(call).not_finite_flag(); }

CudaDevice::CudaDevice(int index) : info_(read_info(index)) {
  OCTAVO_CHECK_CODE(unsupported, info_.arch >= kOldestArch,
                    "{} ({}) has compute capability {}.{}; the oldest that has kernels here is 8.0",
                    info_.label, info_.name, info_.arch / 10, info_.arch % 10);
  activate();
  require_code(probe_kernel(), info_);
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "creating a stream");
  check(cudaHostAlloc(reinterpret_cast<void**>(&not_finite_), sizeof(*not_finite_),
                      cudaHostAllocMapped),
        "allocating host memory");
  *not_finite_ = 0;
}

CudaDevice::~CudaDevice() {
  cudaSetDevice(info_.index);
  cudaStreamSynchronize(stream_);
  libraries_.reset();
  cudaFreeHost(not_finite_);
  cudaStreamDestroy(stream_);
}

void CudaDevice::activate() { check(cudaSetDevice(info_.index), "choosing a device"); }

Libraries& CudaDevice::libraries() {
  if (!libraries_) libraries_ = std::make_unique<Libraries>(*this);
  return *libraries_;
}

size_t CudaDevice::free_bytes() {
  activate();
  size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total), "reading free memory");
  return free;
}

std::shared_ptr<void> CudaDevice::allocate(size_t bytes, std::string_view what) {
  activate();
  void* data = nullptr;
  const cudaError_t status = cudaMalloc(&data, std::max<size_t>(bytes, 1));
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // not sticky: the next call starts clean
    OCTAVO_FAIL(out_of_memory, "{} has not the {} bytes of {}: {} of {} are free", info_.label,
                bytes, what, free_bytes(), info_.memory_bytes);
  }
  check(status, "allocating device memory");
  return {data, [index = info_.index](void* p) {
            cudaSetDevice(index);
            cudaFree(p);
          }};
}

void CudaDevice::upload(void* to, const void* from, size_t bytes) {
  if (bytes == 0) return;
  activate();
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream_), "copying to the device");
  check(cudaStreamSynchronize(stream_), "copying to the device");
}

void CudaDevice::download(void* to, const void* from, size_t bytes) {
  activate();
  if (bytes > 0) {
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream_),
          "copying from the device");
  }
  synchronize();
}

void CudaDevice::copy(void* to, const void* from, size_t bytes) {
  if (bytes == 0) return;
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_), "copying");
}

void CudaDevice::copy_2d(void* to, size_t to_pitch, const void* from, size_t from_pitch,
                         size_t width, size_t height) {
  if (width == 0 || height == 0) return;
  check(cudaMemcpy2DAsync(to, to_pitch, from, from_pitch, width, height, cudaMemcpyDeviceToDevice,
                          stream_),
        "copying");
}

void CudaDevice::fill(void* to, uint8_t value, size_t bytes) {
  if (bytes == 0) return;
  check(cudaMemsetAsync(to, value, bytes, stream_), "filling memory");
}

void CudaDevice::synchronize() {
  activate();
  check(cudaStreamSynchronize(stream_), info_.label.c_str());
  const uint32_t found = *not_finite_;
  *not_finite_ = 0;
  OCTAVO_CHECK_CODE(not_finite, found == 0, "{}: NaN or infinity among values to quantize",
                    info_.label);
}

std::unique_ptr<Mark> CudaDevice::mark() {
  activate();
  return std::make_unique<EventMark>(stream_);
}

std::unique_ptr<Recording> CudaDevice::record(const std::function<void()>& launches) {
  activate();
  check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "recording");
  cudaGraph_t graph = nullptr;
  try {
    launches();
  } catch (...) {
    cudaStreamEndCapture(stream_, &graph);
    cudaGraphDestroy(graph);
    cudaGetLastError();
    throw;
  }
  check(cudaStreamEndCapture(stream_, &graph), "recording");
  return std::make_unique<GraphRecording>(graph, stream_);
}

std::vector<double> CudaDevice::time(const std::vector<std::function<void()>>& work) {
  activate();
  std::vector<Event> marks(work.size() + 1);
  marks[0].record(stream_);
  for (size_t i = 0; i < work.size(); ++i) {
    work[i]();
    marks[i + 1].record(stream_);
  }
  marks.back().wait();
  std::vector<double> seconds;
  for (size_t i = 0; i < work.size(); ++i) {
    seconds.push_back(marks[i + 1].milliseconds_since(marks[i]) / 1e3);
  }
  return seconds;
}

std::string no_device_reason(cudaError_t status, int driver) {
  if (status != cudaErrorInsufficientDriver) {
    return fmt::format("no CUDA device: {}", cudaGetErrorString(status));
  }
  if (driver == 0) return "no CUDA device: no NVIDIA driver is installed";
  return fmt::format("the NVIDIA driver supports CUDA {}.{}; this build needs {}.{}", driver / 1000,
                     driver % 1000 / 10, CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
}

namespace {

// The number of devices, or why there are none.
int device_count() {
  int count = 0, driver = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  cudaDriverGetVersion(&driver);
  OCTAVO_CHECK_CODE(unsupported, status == cudaSuccess, "{}", no_device_reason(status, driver));
  return count;
}

}  // namespace
}  // namespace cuda

std::shared_ptr<Device> open_device(std::string_view name) {
  if (name == "cpu") return nullptr;
  int index = 0;
  std::string_view rest = name;
  const bool cuda = rest.starts_with("cuda");
  if (cuda) rest.remove_prefix(4);
  bool known = cuda && rest.empty();
  if (cuda && rest.starts_with(":")) {
    const auto [end, error] = std::from_chars(rest.data() + 1, rest.data() + rest.size(), index);
    known = error == std::errc() && end == rest.data() + rest.size() && index >= 0;
  }
  OCTAVO_CHECK(known, "device \"{}\" is not one of: cpu cuda cuda:N", name);
  const int count = cuda::device_count();
  OCTAVO_CHECK_CODE(unsupported, index < count, "there is no cuda:{}; this machine has {} device{}",
                    index, count, count == 1 ? "" : "s");
  return std::make_shared<cuda::CudaDevice>(index);
}

std::string list_devices() {
  try {
    std::string text;
    for (int i = 0; i < cuda::device_count(); ++i) {
      const DeviceInfo info = cuda::read_info(i);
      text += fmt::format("{}  {}, compute capability {}.{}, {:.0f} GiB\n", info.label, info.name,
                          info.arch / 10, info.arch % 10,
                          static_cast<double>(info.memory_bytes) / (1 << 30));
    }
    return text;
  } catch (const Error& error) {
    return std::string(error.what()) + "\n";
  }
}

}  // namespace octavo
