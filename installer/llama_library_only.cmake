# Included by CMake at the end of `project("llama.cpp")`: llama-cpp-python turns llama.cpp's helper library `common` on,
# which takes as long to compile as everything else and is used by nothing here.
set(LLAMA_BUILD_COMMON OFF)
