// swift-tools-version: 6.2
import PackageDescription

// A package of its own, so that the fuzzer's instrumentation never reaches the main graph. `harness/fuzz` builds and runs it.
let package = Package(
    name: "hyperconform-fuzz",
    dependencies: [.package(name: "hyperconform", path: "..")],
    targets: [
        .executableTarget(
            name: "fuzz",
            dependencies: [.product(name: "Fuzzing", package: "hyperconform")],
            swiftSettings: [.swiftLanguageMode(.v6)])
    ]
)
