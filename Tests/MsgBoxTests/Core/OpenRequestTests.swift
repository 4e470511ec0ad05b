import MsgBox
import Testing

/// Reply ids that expressions of tests can refer to.
private final class IDs {
  private var ids = ReplyIDs()

  var count: Int { ids.count }

  func get(_ replyID: UInt16) -> Int? { ids.get(replyID) }

  func next(after last: UInt16, reserved: Set<UInt16>) -> UInt16? {
    let short = reserved.isEmpty ? ids.next(after: last) : nil
    let general = ids.next(after: last, reserved: reserved)
    if reserved.isEmpty { #expect(short == general) }
    return general
  }

  func add(_ replyID: UInt16, get: Int) { ids.add(replyID, get: get) }

  func remove(_ replyID: UInt16) { ids.remove(replyID) }
}

@Suite("Open requests, answers and cancels")
struct OpenRequestTests {
  // MARK: Answers

  @Test("An answer that is refused leaves its request open", arguments: bothTransports)
  func refusedAnswer(transport: Transport) throws {
    var options = ConnectionOptions()
    options.sendMarkMessages = 1
    let pair = try Pair(transport, serverOptions: options)
    #expect(pair.client.get("a", from: pair.up, context: 1) == .ok)
    #expect(pair.client.get("b", from: pair.up, context: 2) == .ok)
    pair.run(for: .milliseconds(100))
    let requests = pair.server.log.all(.request).map(\.request)
    try #require(requests.count == 2)
    let tooBig = [UInt8](repeating: 0, count: 16_777_217)
    #expect(pair.server.answer(tooBig, to: requests[0]) == .tooBig)
    #expect(pair.server.answer("1", to: requests[0]) == .ok)
    #expect(pair.server.answer("2", to: requests[1]) == .wouldBlock)
    pair.run(for: .milliseconds(50))
    #expect(pair.server.answer("2", to: requests[1]) == .ok)
    #expect(pair.server.answer("2", to: requests[1]) == .badHandle)
    pair.run(for: .milliseconds(100))
    #expect(pair.client.log.all(.reply).map(\.text) == ["1", "2"])
    pair.finish()
  }

  @Test(
    "A request that is answered when it is told of takes no place, and its handle never comes again",
    arguments: bothTransports)
  func answeredAtOnce(transport: Transport) throws {
    let pair = try Pair(transport)
    var handles: Set<Handle> = []
    pair.server.onEvent = { node, event in
      guard event.kind == .request else { return }
      #expect(handles.insert(event.request).inserted)
      #expect(node.census.requestsOpen > 0)
      #expect(node.answer(event.bytes, to: event.request) == .ok)
      #expect(node.answer(event.bytes, to: event.request) == .badHandle)
    }
    for context in UInt(1)...200 {
      #expect(pair.client.get("\(context)", from: pair.up, context: context) == .ok)
      if context % 40 == 0 { pair.run(for: .milliseconds(100)) }
    }
    #expect(handles.count == 200 && pair.server.census.requestsOpen == 0)
    #expect(Set(pair.client.log.all(.reply).map(\.text)) == Set((1...200).map { "\($0)" }))
    pair.finish()
  }

  @Test("Requests answered at once, later and never share their places", arguments: bothTransports)
  func answeredInTurn(transport: Transport) throws {
    let pair = try Pair(transport)
    var left: [Handle] = []
    pair.server.onEvent = { node, event in
      guard event.kind == .request else { return }
      if event.text.hasSuffix("0") { return }
      if event.text.hasSuffix("1") { left.append(event.request) }
      if event.text.hasSuffix("5"), let oldest = left.first {
        left.removeFirst()
        #expect(node.answer("late", to: oldest) == .ok)
        #expect(node.answer("late", to: oldest) == .badHandle)
      }
      guard !event.text.hasSuffix("1") else { return }
      #expect(node.answer("now", to: event.request) == .ok)
    }
    for context in UInt(1)...100 {
      #expect(pair.client.get("\(context)", from: pair.up, context: context) == .ok)
    }
    pair.run(for: .milliseconds(500))
    #expect(pair.server.census.requestsOpen == 10 + left.count)
    for request in left { #expect(pair.server.answer("late", to: request) == .ok) }
    pair.run(for: .milliseconds(500))
    let texts = pair.client.log.all(.reply).map(\.text)
    #expect(texts.filter { $0 == "now" }.count == 80 && texts.filter { $0 == "late" }.count == 10)
    #expect(pair.server.census.requestsOpen == 10)
    pair.finish()
  }

  @Test("A request cannot be answered once its connection is ended, in its handler or before")
  func endedMeanwhile() throws {
    let pair = try Pair(.udp)
    var statuses: [Status] = []
    pair.server.onEvent = { node, event in
      guard event.kind == .request else { return }
      if event.text == "1" { #expect(node.disconnect(event.handle) == .ok) }
      #expect(event.request != .none)
      statuses.append(node.answer("", to: event.request))
    }
    for context in UInt(1)...3 {
      #expect(pair.client.get("\(context)", from: pair.up, context: context) == .ok)
    }
    pair.run(for: .milliseconds(500))
    #expect(statuses == [.badHandle, .badHandle, .badHandle])
    #expect(pair.server.census.requestsOpen == 0)
    #expect(pair.client.log.count(.replyMissing) == 3)
    pair.finish()
  }

  // MARK: Cancels

  /// Begins a get; what cancels it.
  private func begin(
    _ bytes: [UInt8], _ node: Node, _ handle: Handle, context: UInt
  ) throws -> Handle {
    try node.ask(bytes, from: handle, context: context).get()
  }

  @Test("A cancelled get has one outcome, and its reply is stale", arguments: bothTransports)
  func cancel(transport: Transport) throws {
    let pair = try Pair(transport)
    let get = try begin([1], pair.client, pair.up, context: 1)
    pair.run(for: .milliseconds(100))
    #expect(pair.client.cancel(get: get) == .ok)
    #expect(pair.client.cancel(get: get) == .badHandle)
    // The next get may have the same slot, but not the same numbers.
    #expect(pair.client.get([2], from: pair.up, context: 2) == .ok)
    pair.run(for: .milliseconds(100))
    let requests = pair.server.log.all(.request).map(\.request)
    try #require(requests.count == 2)
    #expect(pair.server.answer("one", to: requests[0]) == .ok)
    #expect(pair.server.answer("two", to: requests[1]) == .ok)
    pair.run(for: .milliseconds(100))
    let missing = pair.client.log.all(.replyMissing)
    #expect(missing.map(\.getContext) == [1] && missing.map(\.status) == [.cancelled])
    #expect(pair.client.log.all(.reply).map(\.text) == ["two"])
    #expect(pair.client.log.last(.reply)?.getContext == 2)
    #expect(pair.client.dropped(.staleReply) == 1)
    #expect(pair.client.cancel(get: get) == .badHandle)
    pair.finish()
  }

  @Test("Of a big request that is cancelled no more is sent, of its reply nothing kept")
  func cancelBig() throws {
    let pair = try Pair(.udp)
    let client = pair.client
    let big = [UInt8](repeating: 1, count: 1_000_000)
    let first = try begin(big, client, pair.up, context: 1)
    pair.run(for: .milliseconds(50))
    #expect(client.census.queuedBytes == 1_000_000)
    #expect(client.cancel(get: first) == .ok)
    #expect(client.census.queuedBytes == 0 && client.census.queuedMessages == 0)
    var sent = 0
    pair.simulation.onDatagram = { datagram in
      if datagram.from.ip == client.ip, datagram.bytes.count > 500 { sent += 1 }
      return true
    }
    pair.run(for: .seconds(12))
    #expect(sent <= 1 && pair.server.log.count(.request) == 0)
    #expect(pair.server.census.incompleteBytes == 0 && pair.server.dropped(.incomplete) == 1)

    pair.server.onEvent = { node, event in
      if event.kind == .request { #expect(node.answer(big, to: event.request) == .ok) }
    }
    let second = try begin([2], client, pair.up, context: 2)
    pair.run(for: .milliseconds(70))
    #expect(client.census.incompleteBytes > 0)
    #expect(client.cancel(get: second) == .ok)
    #expect(client.census.incompleteBytes == 0)
    pair.run(for: .seconds(30))
    #expect(client.census.incompleteBytes == 0 && client.dropped(.staleReply) > 100)
    #expect(pair.server.census.queuedBytes == 0)
    #expect(client.log.all(.replyMissing).map(\.status) == [.cancelled, .cancelled])
    pair.simulation.onDatagram = nil
    pair.finish()
  }

  @Test("The reply id of a get that was cancelled rests at a peer without sessions")
  func cancelImplicit() throws {
    var options = ConnectionOptions()
    options.implicitPeers = true
    let raw = try RawServer(options: options)
    raw.send(RawPacket.oneWay(nil, "hi"))
    let handle = try #require(raw.server.log.last(.connectionReady)).handle
    let get = try begin([1], raw.server, handle, context: 1)
    raw.simulation.run(for: .milliseconds(50))
    #expect(raw.server.cancel(get: get) == .ok)
    let replyID = try #require(raw.stranger.received.first { $0.kind == .request }?.replyID)
    #expect(raw.server.get([2], from: handle, context: 2) == .ok)
    raw.send(RawPacket.header(.reply, replyID: replyID) + [1])
    #expect(raw.server.log.last(.replyMissing)?.status == .cancelled)
    #expect(raw.server.log.count(.reply) == 0 && raw.server.dropped(.staleReply) == 1)
    finishAll(raw.simulation)
  }

  // MARK: A full table

  private func server(_ simulation: Simulation, room: Int) throws -> (Node, Handle) {
    var configuration = EndpointConfiguration()
    configuration.maxOpenRequests = room
    let server = simulation.addNode("server", configuration: configuration)
    let listener = server.listen(.udp)
    _ = try #require(server.wait(for: .listening))
    return (server, listener)
  }

  @Test("Peers whose requests fill the box take no room from one with few")
  func fairRoom() throws {
    let simulation = Simulation()
    let (server, listener) = try server(simulation, room: 64)
    var options = ConnectionOptions()
    options.getTimeout = .seconds(60)
    for number in 1...4 {
      let hog = simulation.addNode("hog \(number)")
      let up = hog.connect(.udp, to: server.address(of: listener), options: options)
      for context in UInt(1)...100 { #expect(hog.get("hog", from: up, context: context) == .ok) }
    }
    simulation.run(for: .seconds(5))
    #expect(server.census.requestsOpen == 64)
    let modest = simulation.addNode("modest")
    let up = modest.connect(.udp, to: server.address(of: listener))
    for context in UInt(1)...8 { #expect(modest.get("few", from: up, context: context) == .ok) }
    simulation.run(for: .milliseconds(500))
    let few = server.log.all(.request).filter { $0.text == "few" }
    #expect(few.count == 8 && server.census.requestsOpen == 64)
    for request in few { #expect(server.answer("yes", to: request.request) == .ok) }
    simulation.run(for: .milliseconds(500))
    #expect(modest.log.count(.reply) == 8)
    finishAll(simulation)
  }

  @Test("A request that found no room may come again, and is handled once")
  func comesAgain() throws {
    let simulation = Simulation()
    let (server, listener) = try server(simulation, room: 1)
    let client = simulation.addNode("client")
    let up = client.connect(.udp, to: server.address(of: listener))
    _ = try #require(client.wait(for: .connectionSetup))
    #expect(client.get("a", from: up, context: 1) == .ok)
    #expect(client.get("b", from: up, context: 2) == .ok)
    simulation.run(for: .milliseconds(100))
    #expect(server.log.all(.request).map(\.text) == ["a"] && server.dropped(.requestsFull) == 1)
    #expect(server.answer("", to: try #require(server.log.last(.request)).request) == .ok)
    simulation.run(for: .milliseconds(200))
    #expect(server.log.all(.request).map(\.text) == ["a", "b"])
    #expect(server.answer("", to: try #require(server.log.last(.request)).request) == .ok)
    simulation.run(for: .seconds(6))
    #expect(client.log.count(.reply) == 2 && server.log.count(.request) == 2)
    finishAll(simulation)
  }

  @Test(
    "A request of several packets, which cannot come again, takes the place of its peer's oldest")
  func severalPackets() throws {
    let simulation = Simulation()
    let (server, listener) = try server(simulation, room: 3)
    let client = simulation.addNode("client")
    let up = client.connect(.udp, to: server.address(of: listener))
    for context in UInt(1)...3 {
      #expect(client.get("\(context)", from: up, context: context) == .ok)
    }
    _ = try #require(server.wait(for: .request, count: 3))
    let big = [UInt8](repeating: 1, count: 3000)
    #expect(client.get(big, from: up, context: 4) == .ok)
    let request = try #require(server.wait(for: .request, count: 4))
    #expect(request.bytes == big && server.census.requestsOpen == 3)
    #expect(server.answer("", to: server.log.all(.request)[0].request) == .badHandle)
    #expect(server.answer("", to: request.request) == .ok)
    _ = try #require(client.wait(for: .reply))
    finishAll(simulation)
  }

  // MARK: Reply ids

  @Test("Reply ids against a model: none is given twice, each is found, and all can be in use")
  func replyIDs() {
    for seed in UInt64(0)..<4 {
      var random = SeededRandom(seed: seed)
      let ids = IDs()
      var model: [UInt16: Int] = [:]
      var order: [UInt16] = []
      var last = UInt16(truncatingIfNeeded: random.word())
      for step in 0..<20_000 {
        let isFilling = step / 2000 % 2 == 0
        if random.chance(isFilling ? 700 : 300) {
          guard let next = ids.next(after: last, reserved: []) else {
            Issue.record("no id at \(model.count)")
            break
          }
          #expect(next != 0 && model[next] == nil)
          ids.add(next, get: step)
          model[next] = step
          order.append(next)
          last = next
        } else if !order.isEmpty {
          let replyID = order.remove(at: random.chance(900) ? 0 : random.below(order.count))
          #expect(ids.get(replyID) == model[replyID])
          ids.remove(replyID)
          model[replyID] = nil
          #expect(ids.get(replyID) == nil)
        }
        #expect(ids.count == model.count)
      }
      #expect(order.allSatisfy { ids.get($0) == model[$0] })
    }
    let full = IDs()
    var last: UInt16 = 7
    for get in 0..<65_535 {
      guard let next = full.next(after: last, reserved: []) else { break }
      full.add(next, get: get)
      last = next
    }
    #expect(full.count == 65_535 && full.next(after: last, reserved: []) == nil)
    full.remove(300)
    #expect(full.next(after: last, reserved: [300]) == nil)
    #expect(full.next(after: last, reserved: []) == 300 && full.get(0) == nil)
  }
}
