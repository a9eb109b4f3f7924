// swift-tools-version: 6.2
import PackageDescription

// Measurements of the stack as an application gets it: a package of its own, so that mutation points fold away. `harness/bench` builds and runs it.
let package = Package(
    name: "benchmarks",
    platforms: [.macOS(.v15)],
    dependencies: [
        .package(name: "hyperconform", path: "..", traits: []),
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
    ],
    targets: [
        .executableTarget(
            name: "bench",
            dependencies: [
                .product(name: "Hyperswarm", package: "hyperconform"),
                .product(name: "HyperswarmProtocols", package: "hyperconform"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: [.swiftLanguageMode(.v6), .treatAllWarnings(as: .error)])
    ]
)
