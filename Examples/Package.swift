// swift-tools-version: 6.2
import PackageDescription

// Small programs on the stack, in a package of their own: they import what an application imports, and nothing else.
let package = Package(
    name: "examples",
    platforms: [.macOS(.v15)],
    dependencies: [.package(name: "hyperconform", path: "..", traits: [])],
    targets: [
        .executableTarget(name: "chat", dependencies: [.product(name: "Hyperswarm", package: "hyperconform")]),
        .executableTarget(name: "rooms", dependencies: [.product(name: "Hyperswarm", package: "hyperconform")]),
        .executableTarget(name: "filecopy", dependencies: [.product(name: "Hyperswarm", package: "hyperconform")]),
    ]
)
