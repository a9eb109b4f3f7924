import Conformance
import Dissection
import KeyLog
import PacketCapture
import SansIO

/// A check that goes through every recorded bundle.
enum TraceCheck {
    /// What one bundle contributes: how many comparisons were made, and what did not hold.
    struct Outcome {
        var comparisons = 0
        var findings: [TraceFinding] = []
    }

    static func check(
        _ id: String, _ requirements: [String], _ subject: Subject, _ body: @escaping @Sendable (TraceBundle, TraceAudit) throws -> Outcome
    ) -> Check {
        Check(id, requirements, .trace, subject) { exam in
            for folder in try TraceLibrary.shared.folders(exam.corpus) {
                let bundle: TraceBundle
                let audit: TraceAudit
                do {
                    bundle = try TraceLibrary.shared.bundle(folder)
                    // What says that it is KadePy's is no evidence for or against Hyperswarm; what hides it fails.
                    if bundle.manifest?.isKadePy == true { continue }
                    audit = try TraceLibrary.shared.audit(folder)
                } catch let error as CaptureError {
                    throw CorpusError(error.message, file: error.file, offset: error.offset)
                } catch let error as KeyLogError { throw CorpusError(error.message, file: error.file, offset: error.offset) }
                let outcome = try body(bundle, audit)
                exam.count(outcome.comparisons)
                if outcome.comparisons > 0 || !outcome.findings.isEmpty {
                    let unexplained = audit.dissection.packets.reduce(0) { $0 + ($1.account.classes.contains(.unexplained) ? 1 : 0) }
                    exam.record(BundleResult(name: bundle.name, packets: audit.dissection.packets.count, unexplained: unexplained))
                }
                exam.at(bundle.name) {
                    for finding in outcome.findings {
                        exam.at(finding.offset.map { "packet \(finding.packet), byte \($0)" } ?? "packet \(finding.packet)") {
                            exam.report(finding.field, expected: "as the protocol has it", actual: finding.message)
                        }
                    }
                }
                // One bundle that shows a planted bug is enough.
                if Mutation.isAnyActive, !outcome.findings.isEmpty { return }
            }
            if exam.comparisons == 0, exam.findings.isEmpty { exam.notRun("no recording has a packet that this rule speaks of") }
        }
    }

    /// Our codec against recorded bytes: every unit of these layers decodes whole and encodes back to the same bytes.
    static func codec(_ id: String, _ requirements: [String], layers: [Layer], rules: [Issue.Rule] = [.decode, .reencode]) -> Check {
        check(id, requirements, .codec) { _, audit in
            let names = layers.map { $0.rawValue + "." }
            let units = audit.dissection.packets.reduce(0) { total, packet in
                total + packet.units.filter { layers.contains($0.layer) }.count
            }
            let wanted = Set(rules.map { "dissection.\($0.rawValue)" })
            return Outcome(
                comparisons: units,
                findings: audit.findings.filter { finding in wanted.contains(finding.rule) && names.contains { finding.field.hasPrefix($0) }
                })
        }
    }

    /// A rule of the recordings; `rules` are the names under which the audit counts.
    static func recording(_ id: String, _ requirements: [String], _ rules: String...) -> Check {
        check(id, requirements, .recording) { _, audit in
            Outcome(
                comparisons: rules.reduce(0) { $0 + (audit.report.comparisons[$1] ?? 0) },
                findings: audit.findings.filter { rules.contains($0.rule) })
        }
    }
}
