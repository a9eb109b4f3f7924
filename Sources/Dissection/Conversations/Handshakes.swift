import CompactEncoding
import DHTRPC
import HyperCrypto
import HyperDHT
import KeyLog
import Noise
import SansIO

extension TraceDissector {
    /// Where a Noise message stands: packet index and range in its payload.
    private struct Carrier {
        let packet: Int
        let range: Range<Int>
        let exchange: Int?
        let target: Bytes32?
    }

    /// Recomputes every handshake that the key log tells of, and opens the Noise messages of the others as far as keys are known.
    func readHandshakes() {
        var first: [[UInt8]: [Carrier]] = [:]
        var second: [[UInt8]: [Carrier]] = [:]
        for (message, mode, carrier) in noiseMessages() {
            if mode == .fromServer || mode == .reply {
                second[message, default: []].append(carrier)
            } else {
                first[message, default: []].append(carrier)
            }
        }
        recomputeLogged(first, second)
        let logged = Set(result.handshakes.flatMap(\.messages))
        var initiators: [Int: Handshake] = [:]
        for (message, carriers) in first.sorted(by: { ($0.value.first?.packet ?? 0) < ($1.value.first?.packet ?? 0) }) {
            for carrier in carriers {
                if let exchange = carrier.exchange, let known = result.handshakes.first(where: { $0.messages.first == message }) {
                    initiators[exchange] = known
                }
            }
            if !logged.contains(message) { openUnlogged(first: message, carriers) }
        }
        for (message, carriers) in second.sorted(by: { ($0.value.first?.packet ?? 0) < ($1.value.first?.packet ?? 0) })
        where !logged.contains(message) {
            openUnlogged(second: message, carriers, first)
        }
    }

    /// All Noise messages of PEER_HANDSHAKE values, in packet order.
    private func noiseMessages() -> [([UInt8], RelayMode, Carrier)] {
        var exchangeOf: [Int: Int] = [:]
        for (number, exchange) in result.exchanges.enumerated() {
            for index in exchange.requests { exchangeOf[index] = exchange.origin ?? exchange.firstLeg ?? number }
            if let response = exchange.response { exchangeOf[response] = number }
            for index in exchange.duplicateResponses { exchangeOf[index] = number }
        }
        var found: [([UInt8], RelayMode, Carrier)] = []
        for index in result.packets.indices {
            guard let unit = result.packets[index].units.first(where: { $0.layer == .hyperDHT && $0.name == "PEER_HANDSHAKE" }),
                let noise = unit.field("noise"), let mode = unit.field("mode"), case .uint(let number) = mode.value
            else { continue }
            let exchange = exchangeOf[index]
            found.append(
                (
                    Array(unit.bytes[noise.range]), RelayMode(rawValue: number),
                    Carrier(packet: index, range: noise.range, exchange: exchange, target: exchange.flatMap { result.exchanges[$0].target })
                ))
        }
        return found
    }

    // MARK: Logged handshakes

    private func recomputeLogged(_ first: [[UInt8]: [Carrier]], _ second: [[UInt8]: [Carrier]]) {
        for (number, entry) in (keyLog?.entries ?? []).enumerated() {
            guard case .noise(let record) = entry.record else { continue }
            var handshake = Handshake(
                pattern: record.pattern, initiatorKey: record.isInitiator ? record.staticKey : record.remoteStaticKey,
                responderKey: record.isInitiator ? record.remoteStaticKey : record.staticKey)
            handshake.messages = record.messages.map(\.message)
            handshake.hash = record.hash
            handshake.carriers = record.messages.enumerated().map { number, message in
                ((number == 0 ? first : second)[message.message] ?? []).map(\.packet)
            }
            let name = "\(record.pattern) handshake of \(short(handshake.initiatorKey)) with \(short(handshake.responderKey))"
            let outcome = memory?.recomputations[number] ?? TraceDissector.recompute(record)
            memory?.recomputations[number] = outcome
            switch outcome {
            case .verified:
                handshake.isVerified = true
                result.verified.noise += 1
            case .unknownKeys: break
            case .differs(let field, let message):
                result.failed.noise += 1
                let packet = handshake.carriers.flatMap { $0 }.first ?? -1
                issue(.noise, packet, "noise.\(field)", nil, "\(name): \(message)")
            }
            let isNew = !result.handshakes.contains { $0.messages == handshake.messages }
            if isNew {
                for (number, message) in record.messages.enumerated() {
                    for carrier in (number == 0 ? first : second)[message.message] ?? [] {
                        show(number, record.pattern, carrier, payload: message.payload, verified: handshake.isVerified)
                    }
                }
                result.handshakes.append(handshake)
            } else if handshake.isVerified, let known = result.handshakes.firstIndex(where: { $0.messages == handshake.messages }) {
                result.handshakes[known].isVerified = true
            }
        }
    }

    private func short(_ key: Bytes32?) -> String { key.map { String($0.description.prefix(8)) } ?? "?" }

    enum Recomputation {
        case verified
        /// The log lacks what is needed (secrets taken out, another pattern).
        case unknownKeys
        case differs(field: String, String)
    }

    /// Runs one side of a logged handshake again with its own keys: same messages, payloads, hash and keys?
    static func recompute(_ record: NoiseHandshakeRecord) -> Recomputation {
        guard let pattern = HandshakePattern(rawValue: record.pattern), let secret = record.staticSecretKey,
            let staticKeys = KeyPair(secretKey: secret), let ephemeral = KeyPair(secretKey: record.ephemeralSecretKey)
        else { return .unknownKeys }
        if pattern.protocolName != record.protocolName {
            return .differs(field: "protocol", "the logged protocol is \(record.protocolName)")
        }
        do {
            let state = try HandshakeState(
                pattern: pattern, isInitiator: record.isInitiator, prologue: record.prologue, staticKeys: staticKeys,
                remoteStatic: pattern.hasKnownResponder ? record.remoteStaticKey : nil, ephemeral: ephemeral)
            for (number, message) in record.messages.enumerated() {
                if message.isSent {
                    guard try state.write(payload: message.payload) == message.message else {
                        return .differs(field: "messages[\(number)]", "message \(number + 1) comes out differently")
                    }
                } else if try state.read(message.message) != message.payload {
                    return .differs(field: "messages[\(number)].payload", "the payload of message \(number + 1) comes out differently")
                }
            }
            guard let outcome = state.result else { return .differs(field: "messages", "the logged messages do not finish the handshake") }
            if outcome.hash != record.hash { return .differs(field: "hash", "another handshake hash") }
            if outcome.tx != record.tx.bytes { return .differs(field: "tx", "another tx key") }
            if outcome.rx != record.rx.bytes { return .differs(field: "rx", "another rx key") }
            if let expected = record.remoteStaticKey, outcome.remotePublicKey != expected {
                return .differs(field: "rs", "another remote key")
            }
            return .verified
        } catch { return .differs(field: error.field, error.description) }
    }

    // MARK: Handshakes that did not finish, or that were damaged on the way

    private func openUnlogged(first message: [UInt8], _ carriers: [Carrier]) {
        for carrier in carriers {
            guard let key = carrier.target.flatMap({ knowledge.keysByTarget[$0] }), let pair = knowledge.keyPairs[key] else {
                markOpaque(carrier, "a Noise message to a key whose secret is not known")
                show(0, "IK", carrier, payload: nil, verified: false)
                continue
            }
            do {
                // The responder's ephemeral key plays no part in reading message 1.
                let state = try HandshakeState(
                    pattern: .ik, isInitiator: false, prologue: Namespace.peerHandshake.bytes, staticKeys: pair, ephemeral: pair)
                let payload = try state.read(message)
                show(0, "IK", carrier, payload: payload, verified: true)
                var handshake = Handshake(pattern: "IK", initiatorKey: state.remoteStatic, responderKey: key)
                handshake.messages = [message]
                handshake.carriers = [carriers.map(\.packet)]
                if !result.handshakes.contains(where: { $0.messages.first == message }) { result.handshakes.append(handshake) }
            } catch { refuse(carrier, 0, error) }
        }
    }

    private func openUnlogged(second message: [UInt8], _ carriers: [Carrier], _ first: [[UInt8]: [Carrier]]) {
        for carrier in carriers {
            // The exchange's own first message tells which ephemeral key the initiator has.
            let opening = first.first { $0.value.contains { $0.exchange != nil && $0.exchange == carrier.exchange } && $0.key.count >= 96 }?
                .key
            let ephemeral = opening.flatMap { Bytes32($0.prefix(32)) }.flatMap { knowledge.keyPairs[$0] }
            guard let opening, let ephemeral, let responder = carrier.target.flatMap({ knowledge.keysByTarget[$0] }),
                let known = result.handshakes.firstIndex(where: { $0.messages.first == opening }),
                let pair = result.handshakes[known].initiatorKey.flatMap({ knowledge.keyPairs[$0] }),
                let responderPair = knowledge.keyPairs[responder]
            else {
                markOpaque(carrier, "a Noise answer to a key whose secret is not known")
                show(1, "IK", carrier, payload: nil, verified: false)
                continue
            }
            do {
                let reader = try HandshakeState(
                    pattern: .ik, isInitiator: false, prologue: Namespace.peerHandshake.bytes, staticKeys: responderPair,
                    ephemeral: responderPair)
                let payload = try reader.read(opening)
                let state = try HandshakeState(
                    pattern: .ik, isInitiator: true, prologue: Namespace.peerHandshake.bytes, staticKeys: pair, remoteStatic: responder,
                    ephemeral: ephemeral)
                _ = try state.write(payload: payload)
                show(1, "IK", carrier, payload: try state.read(message), verified: true)
                // With both messages the handshake is finished, whether or not a party logged its end.
                if result.handshakes[known].hash == nil { result.handshakes[known].hash = state.result?.hash }
                if result.handshakes[known].messages.count == 1 {
                    result.handshakes[known].messages.append(message)
                    result.handshakes[known].carriers.append(carriers.map(\.packet))
                }
            } catch { refuse(carrier, 1, error) }
        }
    }

    private func markOpaque(_ carrier: Carrier, _ reason: String) {
        // The bytes were counted as a field; what they say stays closed.
        result.packets[carrier.packet].labels.append(reason)
    }

    private func refuse(_ carrier: Carrier, _ number: Int, _ error: NoiseError) {
        show(number, "IK", carrier, payload: nil, verified: false)
        let field = result.packets[carrier.packet].units.last?.field(error.field)?.range.lowerBound ?? carrier.range.lowerBound
        issue(.noise, carrier.packet, "noise.\(error.field)", field, error.description)
    }

    /// Adds the message's outer fields and, if it was opened, its payload's.
    private func show(_ number: Int, _ pattern: String, _ carrier: Carrier, payload: [UInt8]?, verified: Bool) {
        guard let pattern = HandshakePattern(rawValue: pattern) else { return }
        let bytes = result.packets[carrier.packet].packet.payload
        recorder.reset()
        var reader = Reader(bytes, range: carrier.range, recorder: recorder)
        let message = try? Noise.HandshakeMessage(pattern: pattern, index: number, from: &reader)
        var unit = Unit(
            layer: .noise, name: "\(pattern.rawValue) message \(number + 1)", bytes: bytes, range: carrier.range, fields: recorder.records)
        if verified { unit.notes.append("recomputed with the logged keys") }
        result.packets[carrier.packet].units.append(unit)
        if let message {
            PacketDissector.compare(
                message.encoded, with: bytes[carrier.range], unit, result.packets[carrier.packet].number, &result.issues,
                at: carrier.range.lowerBound)
        }
        if verified {
            result.packets[carrier.packet].account.mark(carrier.range, .verified)
            for name in ["encryptedStatic", "encryptedPayload"] {
                if let field = unit.field(name) { result.packets[carrier.packet].account.mark(field.range, .decrypted) }
            }
        }
        if let payload, pattern == .ik { derived(NoisePayload.self, payload, carrier.packet, .noisePayload, "noise payload") }
    }

    /// Decodes a plaintext by its codec and adds it to a packet.
    @discardableResult
    func derived<Message: CompactCodable>(_ type: Message.Type, _ plaintext: [UInt8], _ index: Int, _ layer: Layer, _ name: String)
        -> Message?
    {
        recorder.reset()
        var reader = Reader(plaintext, recorder: recorder)
        var unit = Unit(layer: layer, name: name, bytes: plaintext, isWire: false)
        do {
            let message = try Message(from: &reader)
            unit.fields = recorder.records
            result.packets[index].units.append(unit)
            var issues: [Issue] = []
            PacketDissector.compare(message.encoded, with: plaintext, unit, result.packets[index].number, &issues)
            // Offsets in plaintext are not offsets in the packet.
            result.issues += issues.map {
                Issue($0.rule, packet: $0.packet, field: $0.field, "\($0.message), plaintext byte \($0.offset ?? 0)")
            }
            return message
        } catch {
            unit.fields = recorder.records
            unit.notes.append("does not decode: \(error)")
            result.packets[index].units.append(unit)
            issue(.decode, index, "\(layer.rawValue).\(error.field)", nil, "\(error.kind.rawValue) at plaintext byte \(error.offset)")
            return nil
        }
    }

    // MARK: Hole-punch payloads

    /// Opens the boxes of PEER_HOLEPUNCH with the logged secrets and with those of recomputed handshakes.
    func openHolepunchPayloads() {
        var secrets: [Bytes32] = []
        for entry in keyLog?.entries ?? [] {
            if case .holepunch(let record) = entry.record, !secrets.contains(record.sharedSecret) { secrets.append(record.sharedSecret) }
        }
        for handshake in result.handshakes {
            guard let hash = handshake.hash else { continue }
            let secret = HandshakeResult.holepunchSecret(hash: hash)
            if !secrets.contains(secret) { secrets.append(secret) }
        }
        for index in result.packets.indices {
            guard let unit = result.packets[index].units.first(where: { $0.layer == .hyperDHT && $0.name == "PEER_HOLEPUNCH" }),
                let field = unit.field("payload")
            else { continue }
            let envelope = Array(unit.bytes[field.range])
            let plaintext = secrets.lazy.compactMap { HolepunchBox(secret: $0).open(envelope) }.first
            if let plaintext {
                result.verified.tags += 1
                result.packets[index].account.mark(field.range, .decrypted)
                derived(HolepunchPayload.self, plaintext, index, .holepunch, "holepunch payload")
            } else if secrets.isEmpty {
                result.packets[index].labels.append("a sealed payload without a key")
            } else {
                result.failed.tags += 1
                issue(.tag, index, "hyperdht.payload", field.range.lowerBound, "the box opens with none of the logged secrets")
            }
        }
    }
}
