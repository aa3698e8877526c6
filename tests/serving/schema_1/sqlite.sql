CREATE TABLE schema_version (
    name VARCHAR(200) NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (name)
);

CREATE TABLE counters (
    name VARCHAR(200) NOT NULL,
    value BIGINT NOT NULL,
    PRIMARY KEY (name)
);

CREATE TABLE requests (
    request_id VARCHAR(200) NOT NULL,
    user_id VARCHAR(200) NOT NULL,
    placement VARCHAR(200) NOT NULL,
    timestamp BIGINT NOT NULL,
    release VARCHAR(200),
    generation BIGINT,
    source VARCHAR(200) NOT NULL,
    fallback VARCHAR(200),
    digest VARCHAR(200) NOT NULL,
    context BLOB NOT NULL,
    PRIMARY KEY (request_id)
);

CREATE INDEX requests_by_time ON requests (timestamp);

CREATE TABLE slots (
    request_id VARCHAR(200) NOT NULL,
    position INTEGER NOT NULL,
    item_id VARCHAR(200) NOT NULL,
    propensity DOUBLE NOT NULL,
    score DOUBLE,
    reasons TEXT NOT NULL,
    PRIMARY KEY (request_id, position)
);

CREATE TABLE events (
    "offset" BIGINT NOT NULL,
    event_id VARCHAR(200) NOT NULL,
    user_id VARCHAR(200) NOT NULL,
    item_id VARCHAR(200),
    event_type VARCHAR(16) NOT NULL,
    value DOUBLE,
    "query" TEXT,
    timestamp BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    placement VARCHAR(200),
    request_id VARCHAR(200),
    position INTEGER,
    propensity DOUBLE,
    release VARCHAR(200),
    PRIMARY KEY ("offset"),
    UNIQUE (event_id)
);

CREATE INDEX events_by_user ON events (user_id, timestamp);

CREATE TABLE dead_letters (
    number INTEGER NOT NULL,
    event_id VARCHAR(200),
    reason TEXT NOT NULL,
    payload TEXT NOT NULL,
    received_at BIGINT NOT NULL,
    PRIMARY KEY (number)
);

CREATE TABLE offsets (
    consumer VARCHAR(200) NOT NULL,
    "offset" BIGINT NOT NULL,
    PRIMARY KEY (consumer)
);

CREATE TABLE items (
    sequence BIGINT NOT NULL,
    item_id VARCHAR(200) NOT NULL,
    title TEXT,
    description TEXT,
    categories TEXT,
    price DOUBLE,
    available BOOLEAN NOT NULL,
    created_at BIGINT,
    image TEXT,
    audio TEXT,
    attributes TEXT,
    received_at BIGINT NOT NULL,
    PRIMARY KEY (sequence)
);

CREATE INDEX items_by_id ON items (item_id, sequence);

CREATE TABLE releases (
    release VARCHAR(200) NOT NULL,
    created_at BIGINT NOT NULL,
    path TEXT NOT NULL,
    lineage TEXT NOT NULL,
    decision VARCHAR(16),
    verdict TEXT,
    evidence TEXT,
    PRIMARY KEY (release)
);

CREATE TABLE channels (
    name VARCHAR(200) NOT NULL,
    release VARCHAR(200) NOT NULL,
    generation BIGINT NOT NULL,
    PRIMARY KEY (name)
);

CREATE TABLE channel_moves (
    name VARCHAR(200) NOT NULL,
    generation BIGINT NOT NULL,
    release VARCHAR(200) NOT NULL,
    previous VARCHAR(200),
    moved_at BIGINT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (name, generation)
);

CREATE TABLE leases (
    name VARCHAR(200) NOT NULL,
    holder VARCHAR(200),
    expires_at BIGINT NOT NULL,
    fence BIGINT NOT NULL,
    again BOOLEAN NOT NULL,
    PRIMARY KEY (name)
);
