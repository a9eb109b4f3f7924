import Conformance
import Foundation
import PacketCapture

/// The recorded bundles of the checkout.
enum Fixture {
    static let root: String = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().path

    static var folders: [String] { (try? TraceBundle.folders(in: root + "/Fixtures")) ?? [] }

    static func bundle(_ name: String) throws -> TraceBundle { try TraceBundle(path: root + "/Fixtures/" + name, name: name) }
}
