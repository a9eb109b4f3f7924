import Dissection
import PacketCapture
import SansIO

/// Where a capture was taken, and so what may be missing in it although it was sent.
///
/// What a peer sent is judged where all of it can be seen. On a path that loses packets that is the peer's own host: there stand all
/// packets that it sent, and all that it received, in the order in which it sent and received them.
public enum TraceVantage: Sendable, Hashable {
    /// Everything that anybody sent or received came by: loopback, or a path that loses nothing.
    case everything
    /// The host with this address: complete for what it sent and received; of what others sent only what arrived.
    case host(IPAddress)
    /// Somewhere between hosts, where packets get lost or go by: complete for nobody.
    case path

    /// The capture holds every packet that this address sent.
    func seesSent(_ address: IPAddress) -> Bool {
        switch self {
        case .everything: true
        case .host(let host): host == address
        case .path: false
        }
    }

    /// The capture holds what this address received, and nothing that was lost on the way to it.
    func seesReceived(_ address: IPAddress) -> Bool { seesSent(address) }
}

extension TraceVantage {
    /// The captures of a bundle, each with the place where it was taken, as the manifest's topology tells.
    ///
    /// A side's own capture ("client", "server") is its host's. The main one is complete, unless the run put a `hindrance` into the way
    /// or has both hosts in one network.
    public static func captures(of bundle: TraceBundle) -> [(name: String, capture: Capture, vantage: TraceVantage)] {
        [("capture", bundle.capture, ofMainCapture(of: bundle))]
            + bundle.extraCaptures.map { name, capture in
                let host = bundle.manifest?.topology?[name]?["lan"]?.string.flatMap { IPAddress($0) }
                return ("capture.\(name)", capture, host.map { .host($0) } ?? .everything)
            }
    }

    static func ofMainCapture(of bundle: TraceBundle) -> TraceVantage {
        let topology = bundle.manifest?.topology
        return topology?["hindrance"]?.string != nil || topology?["oneNetwork"]?.bool == true ? .path : .everything
    }
}
