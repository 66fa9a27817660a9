// Times single operations of oneDNN, one thread (OMP_NUM_THREADS=1), for kernels.ts. Line by line:
//
//   sgemm M N K milliseconds
//   convolution PASS N C H W milliseconds      PASS: forward, backward-data, backward-weights
//
// Convolutions are 3x3, stride 1, padding 1, C channels in and out, float32, algorithm convolution_direct, in the
// memory formats that the library prefers; reorders are not timed. The answer to each line is one JSON object with
// the time of a call: median on the wall clock, mean on the processor. The first line, without a question, says which
// version this is.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

#include <oneapi/dnnl/dnnl.hpp>

using namespace dnnl;
using Work = std::function<void()>;
using Clock = std::chrono::steady_clock;

namespace {

// Of this thread, on a processor: what other processes do hardly changes it.
double processorMilliseconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

double millisecondsSince(Clock::time_point begun) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begun).count();
}

// The vector instructions that the library uses here, unless ONEDNN_MAX_CPU_ISA forbids them.
const char* vectorInstructions() {
  const unsigned found = static_cast<unsigned>(get_effective_cpu_isa());
  const auto has = [found](cpu_isa wanted) {
    return (found & static_cast<unsigned>(wanted)) == static_cast<unsigned>(wanted);
  };
  if (has(cpu_isa::avx512_core)) return "AVX-512";
  return has(cpu_isa::avx2) ? "AVX2" : "less than AVX2";
}

// Small values around zero, none subnormal: as the other side fills its buffers.
void fill(float* values, size_t count) {
  for (size_t i = 0; i < count; i++) values[i] = static_cast<float>((i * 7) % 11) / 10 - 0.5f;
}

memory filled(const memory::desc& format, const engine& processor) {
  memory made(format, processor);
  fill(static_cast<float*>(made.get_data_handle()), format.get_size() / sizeof(float));
  return made;
}

Work product(std::istringstream& words) {
  dnnl_dim_t m, n, k;
  words >> m >> n >> k;
  auto a = std::make_shared<std::vector<float>>(m * k);
  auto b = std::make_shared<std::vector<float>>(k * n);
  auto c = std::make_shared<std::vector<float>>(m * n);
  fill(a->data(), a->size());
  fill(b->data(), b->size());
  return [=] { dnnl_sgemm('N', 'N', m, n, k, 1, a->data(), k, b->data(), n, 0, c->data(), n); };
}

struct Shape {
  memory::desc image, weights;
  memory::dims stride{1, 1}, pad{1, 1};
};

// Version 3 makes the primitive's description in one go, version 2 from a description of the operation.
convolution_forward::primitive_desc describeForward(const engine& processor, const Shape& s) {
  const auto kind = prop_kind::forward_training;
  const auto direct = algorithm::convolution_direct;
#if DNNL_VERSION_MAJOR >= 3
  return {processor, kind, direct, s.image, s.weights, s.image, s.stride, s.pad, s.pad};
#else
  return {{kind, direct, s.image, s.weights, s.image, s.stride, s.pad, s.pad}, processor};
#endif
}

convolution_backward_data::primitive_desc describeBackwardData(const engine& processor, const Shape& s) {
  const auto direct = algorithm::convolution_direct;
  const auto hint = describeForward(processor, s);
#if DNNL_VERSION_MAJOR >= 3
  return {processor, direct, s.image, s.weights, s.image, s.stride, s.pad, s.pad, hint};
#else
  return {{direct, s.image, s.weights, s.image, s.stride, s.pad, s.pad}, processor, hint};
#endif
}

convolution_backward_weights::primitive_desc describeBackwardWeights(const engine& processor, const Shape& s) {
  const auto direct = algorithm::convolution_direct;
  const auto hint = describeForward(processor, s);
#if DNNL_VERSION_MAJOR >= 3
  return {processor, direct, s.image, s.weights, s.image, s.stride, s.pad, s.pad, hint};
#else
  return {{direct, s.image, s.weights, s.image, s.stride, s.pad, s.pad}, processor, hint};
#endif
}

Work execute(const primitive& work, std::unordered_map<int, memory> buffers, stream queue) {
  return [=]() mutable {
    work.execute(queue, buffers);
    queue.wait();
  };
}

Work convolution(std::istringstream& words, const engine& processor, const stream& queue) {
  std::string pass;
  memory::dim n, c, h, w;
  words >> pass >> n >> c >> h >> w;
  const auto any = memory::format_tag::any;
  const auto single = memory::data_type::f32;
  const Shape shape{{{n, c, h, w}, single, any}, {{c, c, 3, 3}, single, any}};
  const auto buffer = [&](const memory::desc& format) { return filled(format, processor); };
  if (pass == "forward") {
    const auto d = describeForward(processor, shape);
    return execute(convolution_forward(d),
                   {{DNNL_ARG_SRC, buffer(d.src_desc())},
                    {DNNL_ARG_WEIGHTS, buffer(d.weights_desc())},
                    {DNNL_ARG_DST, buffer(d.dst_desc())}},
                   queue);
  }
  if (pass == "backward-data") {
    const auto d = describeBackwardData(processor, shape);
    return execute(convolution_backward_data(d),
                   {{DNNL_ARG_DIFF_SRC, buffer(d.diff_src_desc())},
                    {DNNL_ARG_WEIGHTS, buffer(d.weights_desc())},
                    {DNNL_ARG_DIFF_DST, buffer(d.diff_dst_desc())}},
                   queue);
  }
  if (pass != "backward-weights") throw std::invalid_argument("there is no pass '" + pass + "'");
  const auto d = describeBackwardWeights(processor, shape);
  return execute(convolution_backward_weights(d),
                 {{DNNL_ARG_SRC, buffer(d.src_desc())},
                  {DNNL_ARG_DIFF_WEIGHTS, buffer(d.diff_weights_desc())},
                  {DNNL_ARG_DIFF_DST, buffer(d.diff_dst_desc())}},
                 queue);
}

struct Duration {
  double median, processor;
};

// Warms up for half the time, then the calls that fit into it, at least five. Milliseconds.
Duration measure(const Work& work, double time) {
  const auto warmed = Clock::now();
  do work();
  while (millisecondsSince(warmed) < time / 2);
  std::vector<double> samples;
  const auto begun = Clock::now();
  const double spent = processorMilliseconds();
  while (samples.size() < 5 || millisecondsSince(begun) < time) {
    const auto start = Clock::now();
    work();
    samples.push_back(millisecondsSince(start));
  }
  const double processor = (processorMilliseconds() - spent) / samples.size();
  std::nth_element(samples.begin(), samples.begin() + samples.size() / 2, samples.end());
  return {samples[samples.size() / 2], processor};
}

}  // namespace

int main() {
  const engine processor(engine::kind::cpu, 0);
  const stream queue(processor);
  const auto* version = dnnl_version();
  std::printf("{\"ready\": {\"version\": \"oneDNN %d.%d.%d\", \"detail\": \"%s\"}}\n", version->major,
              version->minor, version->patch, vectorInstructions());
  std::fflush(stdout);
  // Buffers and compiled code of a case stay for the next round.
  std::map<std::string, Work> known;
  std::string line;
  while (std::getline(std::cin, line)) {
    try {
      const auto cut = line.find_last_of(' ');
      const std::string what = line.substr(0, cut);
      const double time = std::stod(line.substr(cut + 1));
      if (!known.count(what)) {
        std::istringstream words(what);
        std::string kind;
        words >> kind;
        known[what] = kind == "sgemm" ? product(words) : convolution(words, processor, queue);
      }
      const Duration found = measure(known[what], time);
      std::printf("{\"medianMs\": %.9g, \"processorMs\": %.9g}\n", found.median, found.processor);
    } catch (const std::exception& problem) {
      std::printf("{\"error\": \"%s\"}\n", problem.what());
    }
    std::fflush(stdout);
  }
}
