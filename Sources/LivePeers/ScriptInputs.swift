import CompactEncoding
import Dissection
import Foundation
import HyperCrypto
import PacketCapture
import StrictJSON

/// What a scenario's script takes in besides its steps: key seeds, topics, payloads.
///
/// A script that is held against a recording uses the recording's own: seeds from its manifest, the topic from its events, payloads from its
/// decrypted packets. What a recording does not keep (targets drawn at random), and all of it where there is no recording, is derived from a
/// text, in the way of `harness/node/record.mjs --seed`.
public struct ScriptInputs: Sendable {
    private let scenario: String
    private let text: String
    private var seeds: [String: [UInt8]] = [:]
    private var topic: [UInt8]?
    private var payloads: [[UInt8]] = []
    private var targets: [String: [UInt8]] = [:]
    private var checks: [String: Int] = [:]
    /// The time that an announce was bumped to, in milliseconds since 1970.
    public private(set) var bump: UInt64?
    /// Whether the recording gave what it keeps.
    public let isRecorded: Bool

    /// Everything derived from `text`.
    public init(scenario: String, text: String) {
        self.scenario = scenario
        self.text = text
        isRecorded = false
    }

    /// Everything that the recording keeps; the rest derived.
    public init(_ bundle: TraceBundle, scenario: String) {
        self.scenario = scenario
        text = "hyperconform"
        isRecorded = true
        for peer in bundle.manifest?.peers ?? [] { if let seed = peer.seed { seeds[peer.name] = seed.bytes } }
        for event in bundle.events {
            if topic == nil, let found = event.details["topic"]?.string.flatMap({ Hex.decode($0) }), found.count == 32 { topic = found }
        }
        let dissection = Dissection(bundle)
        for stream in dissection.secretStreams { payloads += stream.frames.map(\.plaintext) }
        for flow in dissection.flows { payloads.append(flow.bytes) }
        for exchange in dissection.exchanges where exchange.command == "IMMUTABLE_PUT" {
            if case .request(let message) = dissection.packets[exchange.request].message, let value = message.value {
                payloads.append(value)
            }
        }
        readTargets(dissection, bundle)
        for exchange in dissection.exchanges where exchange.command == "ANNOUNCE" {
            let unit = dissection.packets[exchange.request].units.first { $0.layer == .hyperDHT }
            if case .uint(let number)? = unit?.field("bump")?.value, number > 0 { bump = number }
        }
        for exchange in dissection.exchanges where exchange.command == "PING_NAT" {
            let sender = (bundle.manifest?.peers ?? []).first {
                $0.host == exchange.requester.address && $0.clientPort == exchange.requester.port
            }
            if let sender { checks[sender.name, default: 0] += 1 }
        }
    }

    /// `count` bytes that belong to `name`.
    public func bytes(_ name: String, _ count: Int = 32) -> [UInt8] {
        if let seed = seeds[name], count == seed.count { return seed }
        if name == "topic", let topic { return topic }
        if let target = targets[name], count == target.count { return target }
        if count != 32, let payload = payloads.first(where: { $0.count == count }) { return payload }
        return derived(name, count)
    }

    /// Targets of requests by hand, as far as the recording shows which request they belong to.
    private mutating func readTargets(_ dissection: Dissection, _ bundle: TraceBundle) {
        guard let client = bundle.manifest?.peers.first(where: { $0.name == "client" }) else { return }
        var found: [[UInt8]] = []
        for exchange in dissection.exchanges
        where exchange.requester.port == client.clientPort || exchange.requester.port == client.serverPort {
            guard let target = exchange.target?.bytes else { continue }
            if exchange.command == "FIND_NODE", !found.contains(target) { found.append(target) }
            if !exchange.isInternal, exchange.commandNumber == 99 { targets["unknown"] = target }
            if !exchange.isInternal, exchange.commandNumber == 8 { targets["bad"] = target }
        }
        // A query for its own id comes first.
        if found.count >= 3 {
            targets["target"] = found[found.count - 2]
            targets["with a dead node"] = found[found.count - 1]
        }
    }

    /// How the quick firewall check of a node's start went.
    public enum QuickCheck: Sendable {
        /// It made none, or there is no recording.
        case unknown
        /// The answer came when the first query was over: the node goes on as one that does not know.
        case late
        /// The answer came during the query: five nodes were asked, and the node knows that it can be reached.
        case early
    }

    public func quickCheck(_ name: String) -> QuickCheck {
        switch checks[name] ?? 0 {
        case 0: .unknown
        case 1: .late
        default: .early
        }
    }

    private func derived(_ name: String, _ count: Int) -> [UInt8] {
        var output: [UInt8] = []
        var number = 0
        while output.count < count {
            output += SHA512.hash(Array("\(text)/\(scenario)/\(name)/\(number)".utf8))
            number += 1
        }
        return Array(output.prefix(count))
    }
}
