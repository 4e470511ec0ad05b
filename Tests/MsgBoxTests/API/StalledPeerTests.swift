import MsgBox
import Testing

/// A server with 20 peers, and one that stops to run its loop; each side has a box of its own.
private final class StalledScene {
  let server: MessageBox
  let others: MessageBox
  let stalled: MessageBox
  private let listener: Listener
  private(set) var peers: [Connection] = []
  private var isListening = false
  private(set) var replies = 0
  private(set) var writable: [Connection] = []

  init(_ transport: String) throws {
    server = try MessageBox()
    others = try MessageBox()
    stalled = try MessageBox()
    listener = try server.listen(on: "\(transport)://127.0.0.1:0")
    try run { $0.isListening }
    let address = try #require(server.address(of: listener))
    for _ in 0..<20 { try others.connect(to: address) }
    try run { $0.peers.count == 20 }
    try stalled.connect(to: address)
    try run(includingStalled: true) { $0.peers.count == 21 }
  }

  private struct TooLate: Error {}

  /// Runs the boxes until `isDone`; throws after 20 s.
  func run(includingStalled: Bool = false, until isDone: (StalledScene) -> Bool) throws {
    let end = ContinuousClock.now + .seconds(20)
    while !isDone(self) {
      guard ContinuousClock.now < end else { throw TooLate() }
      try server.run(timeout: .milliseconds(1)) { event in
        switch event {
        case .listening: isListening = true
        case .connectionReady(let connection, _): peers.append(connection)
        case .reply: replies += 1
        case .writable(let connection): writable.append(connection)
        default: break
        }
      }
      try others.run(timeout: .zero) { event in
        if case .request(let request, let bytes) = event { try? others.answer(bytes, to: request) }
      }
      if includingStalled { try stalled.run(timeout: .zero) { _ in } }
    }
  }

  /// Sends to the peer that does not read until that is refused; how many messages were taken.
  func fill() throws -> Int {
    let options: MessageBox.SendOptions = .reliable(channel: 1)
    let bytes = [UInt8](repeating: 1, count: 1000)
    for count in 0..<1_000_000 {
      do throws(MessageError) {
        try server.send(bytes, to: peers[20], options: options)
      } catch {
        #expect(error == MessageError(.wouldBlock))
        return count
      }
    }
    Issue.record("there is no mark")
    return 0
  }

  /// A get at each of the others, and their replies.
  func answerAll() throws {
    let before = replies
    for peer in peers[..<20] { try server.get("?", from: peer, context: 0) }
    try run { $0.replies == before + 20 }
  }
}

@Suite("A peer that stops reading")
struct StalledPeerTests {
  @Test("Its sender is refused at the mark, and nobody else notices", arguments: ["udp", "tcp"])
  func stalls(_ transport: String) throws {
    let crowd = try StalledScene(transport)
    // What the kernel takes first is not in the queue: the mark is reached when turns make no room.
    var rounds = 0
    while try crowd.fill() > 0, rounds < 1000 {
      try crowd.answerAll()
      rounds += 1
    }
    #expect(rounds < 1000)
    let statistics = try #require(crowd.server.statistics(of: crowd.peers[20]))
    #expect(statistics.queuedMessages == 1000)
    #expect(crowd.server.statistics.queuedMessages == 1000)
    for _ in 0..<50 { try crowd.answerAll() }
    #expect(crowd.writable.allSatisfy { $0 == crowd.peers[20] })
    // When it reads again it gets what was queued, and its sender goes on.
    let told = crowd.writable.count
    #expect(throws: MessageError(.wouldBlock)) { try crowd.server.send("", to: crowd.peers[20]) }
    try crowd.run(includingStalled: true) { $0.writable.count > told }
    #expect(try crowd.fill() > 0)
  }
}
