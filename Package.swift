// swift-tools-version: 6.2
import PackageDescription

// The house has six floors, and an arrow only ever points down:
//   5 tools   4 judgement   3 edges   2 protocol   1 ground   0 C
// Floors 1 and 2 are sans-IO: no input or output, no clock, no randomness of their own, no Foundation.

/// Warnings are errors in this package; the language mode is Swift 6 with complete concurrency checking.
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .treatAllWarnings(as: .error),
]

/// Ground code also decides whether mutation points exist: an application that depends on the stack with `traits: []` gets none.
let ground: [SwiftSetting] = strict + [.define("MUTATION_POINTS", .when(traits: ["MutationPoints"]))]

func floor(_ name: String, _ dependencies: [Target.Dependency], settings: [SwiftSetting] = strict) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: settings)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(name: name, dependencies: dependencies, swiftSettings: strict)
}

let package = Package(
    name: "hyperconform",
    platforms: [.macOS(.v15)],
    products: [
        .executable(name: "hyperconform", targets: ["hyperconform"]),
        .executable(name: "hyperconform-peer", targets: ["hyperconform-peer"]),
        .library(name: "Hyperswarm", targets: ["Hyperswarm"]),
        .library(
            name: "HyperswarmProtocols",
            targets: [
                "CompactEncoding", "HyperCrypto", "Noise", "SecretStream", "Protomux", "BlindRelay", "UDX", "DHTRPC", "HyperDHT",
                "HyperswarmCore",
            ]),
        .library(name: "Fuzzing", targets: ["Fuzzing"]),
        .library(name: "Conformance", targets: ["Conformance", "PacketCapture", "Dissection"]),
    ],
    traits: [
        .trait(
            name: "MutationPoints",
            description: "Compile the points at which the harness can plant one wire bug. Off, they cost nothing."),
        .default(enabledTraits: ["MutationPoints"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
        .package(url: "https://github.com/apple/swift-collections", exact: "1.6.0", traits: []),
        .package(url: "https://github.com/apple/swift-log", exact: "1.16.2"),
    ],
    targets: [
        // Floor 0: C.
        .systemLibrary(
            name: "CSodium", pkgConfig: "libsodium", providers: [.apt(["libsodium-dev"]), .brew(["libsodium"])]),
        .systemLibrary(name: "CPcap", pkgConfig: "libpcap", providers: [.apt(["libpcap-dev"]), .brew(["libpcap"])]),
        .target(name: "CDatagram"),
        .target(name: "CMutation"),

        // Floor 1: ground.
        floor("SansIO", ["CMutation"], settings: ground),
        floor("CompactEncoding", ["SansIO"]),
        floor("HyperCrypto", ["SansIO", "CompactEncoding", "CSodium"]),
        floor("StrictJSON", []),

        // Floor 2: protocol.
        floor("Noise", ["SansIO", "CompactEncoding", "HyperCrypto"]),
        floor("SecretStream", ["SansIO", "CompactEncoding", "HyperCrypto", "Noise"]),
        floor("Protomux", ["SansIO", "CompactEncoding"]),
        floor("BlindRelay", ["SansIO", "CompactEncoding", "Protomux"]),
        floor("UDX", ["SansIO", "CompactEncoding", .product(name: "OrderedCollections", package: "swift-collections")]),
        floor(
            "DHTRPC",
            ["SansIO", "CompactEncoding", "HyperCrypto"]),
        floor(
            "HyperDHT",
            [
                "SansIO", "CompactEncoding", "HyperCrypto", "Noise", "SecretStream", "Protomux", "BlindRelay", "UDX",
                "DHTRPC", .product(name: "HeapModule", package: "swift-collections"),
            ]),
        floor(
            "HyperswarmCore",
            ["SansIO", "CompactEncoding", "HyperCrypto", "HyperDHT", .product(name: "OrderedCollections", package: "swift-collections")]),
        floor("KeyLog", ["SansIO", "CompactEncoding", "StrictJSON"]),

        // Floor 3: edges.
        floor("PacketCapture", ["SansIO", "CompactEncoding", "StrictJSON", "KeyLog", "CPcap"]),
        floor(
            "Dissection",
            [
                "SansIO", "CompactEncoding", "HyperCrypto", "StrictJSON", "Noise", "SecretStream", "Protomux", "BlindRelay", "UDX",
                "DHTRPC", "HyperDHT", "KeyLog", "PacketCapture",
            ]),
        floor("NetworkSimulator", ["SansIO", "KeyLog", "PacketCapture"]),
        floor(
            "Hyperswarm",
            [
                "SansIO", "CompactEncoding", "HyperCrypto", "CDatagram", "UDX", "SecretStream", "Protomux", "DHTRPC", "HyperDHT",
                "HyperswarmCore", "KeyLog", "Noise", .product(name: "Logging", package: "swift-log"),
            ]),

        // Floor 4: judgement.
        floor("Conformance", ["SansIO", "StrictJSON", "PacketCapture", "Dissection", "HyperCrypto", "CompactEncoding", "UDX"]),
        floor("ConformanceReports", ["Conformance", "StrictJSON"]),
        floor(
            "EncryptionChecks",
            [
                "Conformance", "CompactEncoding", "HyperCrypto", "Noise", "SecretStream", "Protomux", "BlindRelay", "KeyLog",
                "PacketCapture", "SansIO", "StrictJSON",
            ]),
        floor(
            "UDXChecks",
            ["Conformance", "UDX", "CompactEncoding", "HyperCrypto", "PacketCapture", "StrictJSON", "SansIO"]),
        floor(
            "DHTChecks",
            [
                "Conformance", "DHTRPC", "HyperDHT", "HyperCrypto", "CompactEncoding", "NetworkSimulator", "Simulations", "UDX", "Noise",
                "Protomux", "BlindRelay", "PacketCapture", "KeyLog", "Dissection", "StrictJSON", "SansIO",
            ]),
        floor(
            "SwarmChecks",
            [
                "Conformance", "HyperswarmCore", "HyperDHT", "NetworkSimulator", "Simulations", "DHTRPC", "HyperCrypto", "CompactEncoding",
                "SansIO", "UDX",
            ]),
        floor(
            "LivePeers",
            [
                "Conformance", "TraceChecks", "Dissection", "PacketCapture", "KeyLog", "HyperCrypto", "CompactEncoding", "SansIO",
                "StrictJSON",
            ]),
        floor("Simulations", ["SansIO", "NetworkSimulator", "UDX", "CompactEncoding", "HyperCrypto", "Noise", "DHTRPC", "HyperDHT"]),
        floor(
            "TraceChecks",
            [
                "Conformance", "Dissection", "PacketCapture", "KeyLog", "SansIO", "CompactEncoding", "HyperCrypto", "UDX", "DHTRPC",
                "HyperDHT",
                "StrictJSON", "Noise", "SecretStream", "Protomux", "BlindRelay",
            ]),
        floor(
            "PeerProbes",
            [
                "Conformance", "LivePeers", "UDXChecks", "SansIO", "CompactEncoding", "HyperCrypto", "StrictJSON", "UDX", "DHTRPC",
                "HyperDHT", "Noise", "SecretStream", "Protomux", "BlindRelay",
            ]),
        floor(
            "Fuzzing",
            [
                "Conformance", "SansIO", "CompactEncoding", "HyperCrypto", "StrictJSON", "KeyLog", "UDX", "DHTRPC", "HyperDHT", "Noise",
                "SecretStream", "Protomux", "BlindRelay", "HyperswarmCore", "PacketCapture", "Dissection",
            ]),

        // Floor 5: tools.
        .executableTarget(
            name: "hyperconform",
            dependencies: [
                "Conformance", "ConformanceReports", "EncryptionChecks", "UDXChecks", "DHTChecks", "SwarmChecks", "TraceChecks",
                "Dissection", "PacketCapture", "NetworkSimulator", "Simulations", "LivePeers", "PeerProbes", "UDX", "SansIO", "Hyperswarm",
                "Fuzzing", "CompactEncoding", "KeyLog", "DHTRPC", "HyperCrypto", "HyperDHT", "StrictJSON",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: strict),
        .executableTarget(
            name: "hyperconform-peer",
            dependencies: [
                "Hyperswarm", "StrictJSON", "KeyLog", "DHTRPC", "HyperCrypto", "Noise", "CompactEncoding", "SansIO", "HyperDHT",
                "HyperswarmCore", "UDX", "Protomux",
            ], swiftSettings: strict),

        // Tests.
        tests("GroundTests", ["SansIO", "CompactEncoding", "HyperCrypto", "StrictJSON"]),
        tests(
            "EncryptionTests",
            ["EncryptionChecks", "Noise", "SecretStream", "Protomux", "BlindRelay", "Conformance"]),
        tests("UDXTests", ["UDX", "UDXChecks", "NetworkSimulator", "Conformance"]),
        tests("DHTTests", ["DHTRPC", "HyperDHT", "DHTChecks", "NetworkSimulator", "Conformance"]),
        tests("SwarmTests", ["HyperswarmCore", "SwarmChecks", "NetworkSimulator", "Conformance"]),
        tests("CaptureTests", ["PacketCapture", "Dissection", "KeyLog", "TraceChecks", "Conformance"]),
        tests(
            "ConformanceTests",
            [
                "Conformance", "ConformanceReports", "Dissection", "PacketCapture", "StrictJSON", "SansIO", "EncryptionChecks", "UDXChecks",
                "DHTChecks",
                "SwarmChecks", "TraceChecks", "LivePeers",
            ]),
        tests("FuzzingTests", ["Fuzzing"]),
        tests("RuntimeTests", ["Hyperswarm", "NetworkSimulator"]),
    ]
)
