-- The exercise's table.
CREATE TABLE requests (id serial PRIMARY KEY, time varchar(64), address varchar(64), replica varchar(64));
