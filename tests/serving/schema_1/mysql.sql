CREATE TABLE schema_version (
    name VARCHAR(200) NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (name)
)CHARSET=utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE counters (
    name VARCHAR(200) NOT NULL,
    value BIGINT NOT NULL,
    PRIMARY KEY (name)
)CHARSET=utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE requests (
    request_id VARCHAR(200) NOT NULL,
    user_id VARCHAR(200) NOT NULL,
    placement VARCHAR(200) NOT NULL,
    timestamp BIGINT NOT NULL,
    `release` VARCHAR(200),
    generation BIGINT,
    source VARCHAR(200) NOT NULL,
    fallback VARCHAR(200),
    digest VARCHAR(200) NOT NULL,
    context MEDIUMBLOB NOT NULL,
    PRIMARY KEY (request_id)
)CHARSET=utf8mb4 COLLATE utf8mb4_bin;

CREATE INDEX requests_by_time ON requests (timestamp);

CREATE TABLE slots (
    request_id VARCHAR(200) NOT NULL,
    position INTEGER NOT NULL,
    item_id VARCHAR(200) NOT NULL,
    propensity DOUBLE NOT NULL,
    score DOUBLE,
    reasons MEDIUMTEXT NOT NULL,
    PRIMARY KEY (request_id, position)
)CHARSET=utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE events (
    `offset` BIGINT NOT NULL,
    event_id VARCHAR(200) NOT NULL,
    user_id VARCHAR(200) NOT NULL,
    item_id VARCHAR(200),
    event_type VARCHAR(16) NOT NULL,
    value DOUBLE,
    query MEDIUMTEXT,
    timestamp BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    placement VARCHAR(200),
    request_id VARCHAR(200),
    position INTEGER,
    propensity DOUBLE,
    `release` VARCHAR(200),
    PRIMARY KEY (`offset`),
    UNIQUE (event_id)
)CHARSET=utf8mb4 COLLATE utf8mb4_bin;

CREATE INDEX events_by_user ON events (user_id, timestamp);

CREATE TABLE dead_letters (
    number BIGINT NOT NULL AUTO_INCREMENT,
    event_id VARCHAR(200),
    reason MEDIUMTEXT NOT NULL,
    payload MEDIUMTEXT NOT NULL,
    received_at BIGINT NOT NULL,
    PRIMARY KEY (number)
)CHARSET=utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE offsets (
    consumer VARCHAR(200) NOT NULL,
    `offset` BIGINT NOT NULL,
    PRIMARY KEY (consumer)
)CHARSET=utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE items (
    sequence BIGINT NOT NULL,
    item_id VARCHAR(200) NOT NULL,
    title MEDIUMTEXT,
    description MEDIUMTEXT,
    categories MEDIUMTEXT,
    price DOUBLE,
    available BOOL NOT NULL,
    created_at BIGINT,
    image MEDIUMTEXT,
    audio MEDIUMTEXT,
    attributes MEDIUMTEXT,
    received_at BIGINT NOT NULL,
    PRIMARY KEY (sequence)
)CHARSET=utf8mb4 COLLATE utf8mb4_bin;

CREATE INDEX items_by_id ON items (item_id, sequence);

CREATE TABLE releases (
    `release` VARCHAR(200) NOT NULL,
    created_at BIGINT NOT NULL,
    path MEDIUMTEXT NOT NULL,
    lineage MEDIUMTEXT NOT NULL,
    decision VARCHAR(16),
    verdict MEDIUMTEXT,
    evidence MEDIUMTEXT,
    PRIMARY KEY (`release`)
)CHARSET=utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE channels (
    name VARCHAR(200) NOT NULL,
    `release` VARCHAR(200) NOT NULL,
    generation BIGINT NOT NULL,
    PRIMARY KEY (name)
)CHARSET=utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE channel_moves (
    name VARCHAR(200) NOT NULL,
    generation BIGINT NOT NULL,
    `release` VARCHAR(200) NOT NULL,
    previous VARCHAR(200),
    moved_at BIGINT NOT NULL,
    reason MEDIUMTEXT NOT NULL,
    PRIMARY KEY (name, generation)
)CHARSET=utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE leases (
    name VARCHAR(200) NOT NULL,
    holder VARCHAR(200),
    expires_at BIGINT NOT NULL,
    fence BIGINT NOT NULL,
    again BOOL NOT NULL,
    PRIMARY KEY (name)
)CHARSET=utf8mb4 COLLATE utf8mb4_bin;
