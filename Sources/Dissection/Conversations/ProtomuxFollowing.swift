import BlindRelay
import CompactEncoding
import Protomux
import SansIO

extension TraceDissector {
    /// Reads the plaintexts of streams that speak Protomux as such, the others as an application's.
    ///
    /// A connection speaks Protomux if the first thing that one of its sides says is a well-formed open. protomux.md A1.
    func followProtomux() {
        var speaks: Set<[UInt8]> = []
        for trace in result.secretStreams {
            if let first = trace.frames.first(where: { !$0.isKeepalive }), isOpen(first.plaintext) { speaks.insert(trace.handshakeHash) }
        }
        for index in result.secretStreams.indices {
            if speaks.contains(result.secretStreams[index].handshakeHash) { readMessages(index) } else { readPlaintexts(index) }
        }
    }

    private func isOpen(_ plaintext: [UInt8]) -> Bool {
        let opens: OpenMessage
        switch try? MuxMessage(decoding: plaintext) {
        case .single(.open(let open)): opens = open
        case .batch(let items):
            guard case .open(let open) = items.first else { return false }
            opens = open
        default: return false
        }
        return opens.localID > 0 && opens.localID < 1 << 20 && !opens.protocolName.isEmpty
            && !opens.protocolName.unicodeScalars.contains("\u{fffd}")
    }

    private func readPlaintexts(_ index: Int) {
        for frame in result.secretStreams[index].frames where !frame.isKeepalive {
            result.packets[frame.packet].units.append(plaintextUnit(frame.plaintext, "plaintext"))
        }
    }

    private func readMessages(_ index: Int) {
        var protocols: [UInt64: String] = [:]
        for frame in result.secretStreams[index].frames where !frame.isKeepalive {
            result.secretStreams[index].protomuxFrames += 1
            guard let message = derived(MuxMessage.self, frame.plaintext, frame.packet, .protomux, "message") else { continue }
            let items: [MuxItem]
            switch message {
            case .empty: items = []
            case .single(let item): items = [item]
            case .batch(let batch): items = batch
            }
            let names = items.map { ProtomuxNames.name($0, protocols) }
            if let last = result.packets[frame.packet].units.indices.last {
                result.packets[frame.packet].units[last].name =
                    items.count == 1 ? names[0] : "batch of \(items.count): " + names.prefix(8).joined(separator: "; ")
            }
            for item in items { read(item, &protocols, frame.packet) }
        }
    }

    private func read(_ item: MuxItem, _ protocols: inout [UInt64: String], _ packet: Int) {
        switch item {
        case .open(let open): protocols[open.localID] = open.protocolName
        case .close(let id): protocols[id] = nil
        case .data(let channel, let type, let payload) where protocols[channel] == BlindRelayNames.protocolName:
            switch type {
            case Pair.type: derived(Pair.self, payload, packet, .blindRelay, "pair")
            case Unpair.type: derived(Unpair.self, payload, packet, .blindRelay, "unpair")
            default: break
            }
        default: break
        }
    }
}

enum BlindRelayNames { static let protocolName = "blind-relay" }

enum ProtomuxNames {
    static func name(_ item: MuxItem, _ protocols: [UInt64: String]) -> String {
        switch item {
        case .open(let open): "open \(open.localID) \"\(open.protocolName)\""
        case .close(let id): "close \(id)"
        case .reject(let id): "reject \(id)"
        case .data(let channel, let type, let payload):
            "channel \(channel)\(protocols[channel].map { " \"\($0)\"" } ?? "") type \(type), \(payload.count) bytes"
        case .unknownControl(let type, _): "unknown control \(type)"
        }
    }
}
