import ArgumentParser
import CompactEncoding
import DHTRPC
import Foundation
import HyperCrypto
import HyperDHT
import Hyperswarm
import SansIO
import StrictJSON

/// How a node of one command joins a network.
struct NodeOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            "A node to start from, as address:port; may be given more than once. Default: 127.0.0.1:49737.", valueName: "host:port"))
    var bootstrap: [String] = []

    @Option(name: .long, help: ArgumentHelp("The address to bind.", valueName: "address"))
    var host: String?

    @Option(name: .long, help: ArgumentHelp("The UDP port to bind; 0 takes any free one.", valueName: "port"))
    var port: UInt16 = 0

    @Option(name: .long, help: "How results are printed: table or json.")
    var format: OutputFormat = .table

    func validate() throws { _ = try entries() }

    private func entries() throws -> [BootstrapEntry] {
        try (bootstrap.isEmpty ? ["127.0.0.1:\(HyperDHTConfig.defaultPort)"] : bootstrap).map { text in
            guard let entry = BootstrapEntry(text) else {
                throw ValidationError("--bootstrap \(text): address:port is expected, as 127.0.0.1:49737")
            }
            return entry
        }
    }

    /// Starts the node and waits until the network has answered.
    func start(seed: String? = nil) async throws -> HyperDHT {
        var options = HyperDHTOptions()
        options.bootstrap = try entries()
        // A node that only knows loopback nodes is itself bound there, so that it never shows on another network.
        let isLocal = options.bootstrap.allSatisfy { $0.endpoint?.address == .loopback }
        options.host = try NodeText.address(host ?? (isLocal ? "127.0.0.1" : "0.0.0.0"))
        options.port = port
        if let seed { options.keyPair = try NodeText.keyPair(seed) }
        let node = try await HyperDHT(options)
        try await node.ready()
        guard try await node.info().tableSize > 0 else {
            await node.destroy(force: true)
            let asked = options.bootstrap.map(\.description).joined(separator: ", ")
            throw NodeFailure(
                "nobody answers at \(asked): start a network with \"hyperconform node network --port 49737\", or name another with --bootstrap"
            )
        }
        return node
    }

    /// Runs one command on a node and takes the node down, whatever happens.
    func run(seed: String? = nil, _ body: (HyperDHT) async throws -> Void) async throws {
        do {
            let node = try await start(seed: seed)
            do { try await body(node) } catch {
                await node.destroy()
                throw error
            }
            await node.destroy()
        } catch let failure as NodeFailure {
            Terminal.fail(failure.message, 1)
        } catch let failure as StreamFailure {
            Terminal.fail("\(failure)", 1)
        }
    }

    func show(_ json: JSON, _ lines: [String]) {
        if format == .json { print(json.text()) } else { for line in lines { print(line) } }
    }
}

/// A command could not do what it was asked, and what to do about it.
struct NodeFailure: Error {
    let message: String
    init(_ message: String) { self.message = message }
}

/// What people type for addresses, keys, topics and values.
enum NodeText {
    static func address(_ text: String) throws -> IPAddress {
        guard let address = IPAddress(text), address.isIPv4 else { throw ValidationError("\(text): an IPv4 address is expected") }
        return address
    }

    static func endpoint(_ text: String) throws -> Endpoint {
        guard let endpoint = BootstrapEntry(text)?.endpoint else { throw ValidationError("\(text): address:port is expected") }
        return endpoint
    }

    static func key(_ text: String) throws -> Bytes32 {
        guard let key = Bytes32(keyText: text) else {
            throw ValidationError("\(text): a key has 64 hexadecimal digits or 52 characters of z-base-32")
        }
        return key
    }

    static func keyPair(_ seed: String) throws -> KeyPair {
        guard let bytes = Hex.decode(seed), let pair = KeyPair(seed: bytes) else {
            throw ValidationError("--seed: 64 hexadecimal digits are expected")
        }
        return pair
    }

    /// 64 hexadecimal digits, or any name, which is hashed.
    static func topic(_ text: String) -> Bytes32 {
        if text.utf8.count == 64, let bytes = Hex.decode(text), let topic = Bytes32(bytes) { return topic }
        return Blake2b.hash256(Array(text.utf8))
    }

    static func json(_ endpoint: Endpoint) -> JSON { ["host": .string(endpoint.address.description), "port": .integer(endpoint.port)] }

    /// UTF-8 text if it is printable, else hexadecimal.
    static func value(_ bytes: [UInt8]) -> String {
        if let text = String(validating: bytes, as: UTF8.self),
            text.unicodeScalars.allSatisfy({ $0.value >= 32 || $0 == "\n" || $0 == "\t" })
        {
            return text
        }
        return Hex.encode(bytes)
    }
}
